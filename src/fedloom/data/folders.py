"""Folders as sources: which files they hold, and whose each is by the subfolder that it lies in; and tables that name files."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path

from fedloom.data.formats import read_rows
from fedloom.data.rows import Row, SourceRows, sha256_of_files
from fedloom.errors import DataError
from fedloom.files import local_path


def open_folder(name: str) -> Path:
    """The folder called `name`. Raises DataError when there is none."""
    folder = local_path(name)
    if not name:
        raise DataError("data.source: names no folder after the colon")
    if not folder.is_dir():
        raise DataError(f"data.source: {folder}: no such folder")
    return folder


def table_rows(table: Path, reads: str) -> SourceRows:
    """The rows of the data file `table` for the reader `reads`. A path in the column `path` is from the folder of the table.

    Raises DataError with the file and line for a path where there is no file.
    """
    rows = [_with_path(row, table.parent) for row in read_rows(table)]
    files = {str(number): row.columns["path"] for number, row in enumerate(rows) if "path" in row.columns}
    return SourceRows(rows, str(table), sha256=sha256_of_files({"": table, **files}), reads=reads)


def _with_path(row: Row, folder: Path) -> Row:
    name = row.columns.get("path")
    if name is None:
        return Row({column: value for column, value in row.columns.items() if column != "path"}, row.where)
    if not isinstance(name, str) or not (folder / local_path(name)).is_file():
        raise DataError(f"{row.where}: the column 'path' should name a file, from the folder of the table; there is none of that name")
    return Row({**row.columns, "path": folder / local_path(name)}, row.where)


def files_in(folder: Path, suffixes: Collection[str]) -> list[Path]:
    """The files of `folder` with one of `suffixes`, in the order of their names. Hidden ones are left out."""
    return [path for path in sorted(folder.iterdir()) if path.is_file() and _is_seen(path) and path.suffix.lower() in suffixes]


def subfolders_of(folder: Path) -> list[Path]:
    """The folders in `folder`, in the order of their names. Hidden ones are left out."""
    return [path for path in sorted(folder.iterdir()) if path.is_dir() and _is_seen(path)]


def _is_seen(path: Path) -> bool:
    return not path.name.startswith(".")
