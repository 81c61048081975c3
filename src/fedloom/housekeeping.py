"""What Fedloom has put on this disk, and how to be rid of it."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from fedloom.files import SCRATCH, cache_folder, unfinished
from fedloom.files import remove as remove_path

KINDS = {
    "rows": "encoded rows (private content of your clients)",
    "prepared": "work of prepare steps (private content of your clients)",
    "written": "what generators wrote (private content of your clients)",
    "made": "pictures that generators made (private content of your clients)",
    "analysed": "what diversity analyses computed of rows (private content of your clients)",
    "judges": "what judges said of answers",
    "look-alikes": "made-up federations",
    "answers": "what models answered to suites (may say private content of your clients)",
    "likelihoods": "how likely models found the answers of suites",
    "wheels": "downloaded packages that models and demo data come in",
    "models": "models made ready to load",
    "captures": "captures of people made of capsules",
    "garments": "clothes and hair of synthetic people, made ready to load",
}

PRIVATE = ("rows", "prepared", "written", "made", "analysed", "answers")
"""Kinds that hold content of clients' rows, and can be made again."""

LEFT = "what killed runs left half written"
OVER, GOING, MISSING = "sites of runs that are over", "sites of unfinished runs", "sites of runs that are not where they were"


@dataclass(frozen=True)
class Kept:
    """Folders of the cache: `what` they hold, and their size in bytes."""

    kind: str
    what: str
    paths: tuple[Path, ...]
    bytes: int


def kept() -> list[Kept]:
    """The folders of the cache that exist."""
    found = [_kept(kind, what, [path]) for kind, what in KINDS.items() if (path := cache_folder() / kind).is_dir()]
    if left := [*unfinished(cache_folder()), *unfinished(Path(tempfile.gettempdir()), SCRATCH, deep=False)]:
        found.append(_kept(LEFT, LEFT, left))
    sites = [path for path in (cache_folder() / "sites").glob("*") if path.is_dir()]
    for kind, what in (
        (OVER, "what clients kept of runs that are over, their audit logs among it"),
        (GOING, "what clients keep of unfinished runs, which cannot be resumed without it"),
        (MISSING, "what clients keep of runs whose folder was moved or removed; a moved one cannot be resumed without it"),
    ):
        if paths := [path for path in sites if _state_of(path) == kind]:
            found.append(_kept(kind, what, paths))
    return found


def remove(kept: Kept) -> None:
    for path in kept.paths:
        remove_path(path)


def _state_of(sites: Path) -> str:
    """Whether the run whose clients keep things in `sites` is over, can go on, or is not where it was."""
    try:
        run = Path(json.loads((sites / "run.json").read_text(encoding="utf-8"))["run"])
        manifest = json.loads((run / "manifest.json").read_text(encoding="utf-8"))
        if manifest["id"] != sites.name:
            return MISSING
        failed_early = manifest["status"] == "failed" and not any((run / "checkpoints").glob("*"))
        return OVER if manifest["status"] == "finished" or failed_early else GOING
    except (OSError, ValueError, KeyError, TypeError):
        return MISSING


def _kept(kind: str, what: str, paths: Sequence[Path]) -> Kept:
    return Kept(kind, what, tuple(paths), sum(file.stat().st_size for path in paths for file in (path, *path.rglob("*")) if file.is_file()))
