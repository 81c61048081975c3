"""What Fedloom has put on this disk, and how to be rid of it."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path

from fedloom.files import cache_folder

KINDS = {
    "rows": "encoded rows (private content of your clients)",
    "prepared": "work of prepare steps (private content of your clients)",
    "sites": "what clients keep between rounds; a run that is not finished cannot be resumed without it",
    "judges": "what judges said of answers",
    "wheels": "downloaded packages that models and demo data come in",
    "models": "models made ready to load",
}


PRIVATE = ("rows", "prepared")
"""Kinds that hold content of clients' rows, and can be made again."""


@dataclass(frozen=True)
class Kept:
    """A folder of the cache: `what` it holds, and its size in bytes."""

    kind: str
    what: str
    path: Path
    bytes: int


def kept() -> list[Kept]:
    """The folders of the cache that exist."""
    return [Kept(kind, what, path, _size(path)) for kind, what in KINDS.items() if (path := cache_folder() / kind).is_dir()]


def remove(kept: Kept) -> None:
    shutil.rmtree(kept.path)


def _size(path: Path) -> int:
    return sum(file.stat().st_size for file in path.rglob("*") if file.is_file())
