"""Folders as sources: which files they hold, and whose each is by the subfolder that it lies in."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path

from fedloom.errors import DataError
from fedloom.files import local_path


def open_folder(name: str) -> Path:
    """The folder called `name`. Raises DataError when there is none."""
    folder = local_path(name)
    if not name or not folder.is_dir():
        raise DataError(f"data.source: {folder}: no such folder")
    return folder


def files_in(folder: Path, suffixes: Collection[str]) -> list[Path]:
    """The files of `folder` with one of `suffixes`, in the order of their names. Hidden ones are left out."""
    return [path for path in sorted(folder.iterdir()) if path.is_file() and _is_seen(path) and path.suffix.lower() in suffixes]


def subfolders_of(folder: Path) -> list[Path]:
    """The folders in `folder`, in the order of their names. Hidden ones are left out."""
    return [path for path in sorted(folder.iterdir()) if path.is_dir() and _is_seen(path)]


def _is_seen(path: Path) -> bool:
    return not path.name.startswith(".")
