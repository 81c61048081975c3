"""What Fedloom has put on this disk, and how to be rid of it."""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from fedloom.files import cache_folder

KINDS = {
    "rows": "encoded rows (private content of your clients)",
    "prepared": "work of prepare steps (private content of your clients)",
    "judges": "what judges said of answers",
    "wheels": "downloaded packages that models and demo data come in",
    "models": "models made ready to load",
}

PRIVATE = ("rows", "prepared")
"""Kinds that hold content of clients' rows, and can be made again."""

OVER, GOING = "sites of runs that are over", "sites of unfinished runs"


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
    sites = [path for path in (cache_folder() / "sites").glob("*") if path.is_dir()]
    over = [path for path in sites if _is_over(path)]
    if over:
        found.append(_kept(OVER, "what clients kept of runs that are finished or gone", over))
    if going := [path for path in sites if path not in over]:
        found.append(_kept(GOING, "what clients keep of unfinished runs, which cannot be resumed without it", going))
    return found


def remove(kept: Kept) -> None:
    for path in kept.paths:
        shutil.rmtree(path)


def _is_over(sites: Path) -> bool:
    """Whether the run whose clients keep things in `sites` is finished, gone, or another one by now."""
    try:
        run = Path(json.loads((sites / "run.json").read_text(encoding="utf-8"))["run"])
        manifest = json.loads((run / "manifest.json").read_text(encoding="utf-8"))
        return bool(manifest["status"] == "finished" or manifest["id"] != sites.name)
    except (OSError, ValueError, KeyError, TypeError):
        return True  # the run's folder, or the file that names it, is not there any more


def _kept(kind: str, what: str, paths: Sequence[Path]) -> Kept:
    return Kept(kind, what, tuple(paths), sum(file.stat().st_size for path in paths for file in path.rglob("*") if file.is_file()))
