"""Folders with a data file per client: the file's stem is what its rows hold in the column `client`."""

from __future__ import annotations

from functools import partial
from pathlib import Path

from fedloom.data.client_json import RowsByClient
from fedloom.data.formats import READERS, is_data_file, read_rows, stem
from fedloom.data.lazy import Concatenated, Mapped
from fedloom.data.rows import Row, SourceRows, sha256_of_files, with_client
from fedloom.errors import DataError


def client_file_rows(folder: Path) -> SourceRows:
    """The rows of all data files in `folder`.

    Raises DataError for a folder without one, for two of one client, and for one that holds several clients itself.
    """
    files: dict[str, Path] = {}
    for path in data_files(folder):
        if (taken := files.setdefault(stem(path), path)) != path:
            raise DataError(f"{folder}: {taken.name} and {path.name} would both be the client '{stem(path)}'; rename one")
    if not files:
        raise DataError(f"{folder}: holds no data files; expected one file per client ({', '.join(READERS)})")
    sha256 = sha256_of_files(files)
    rows = Concatenated([_rows_of_client(client, path) for client, path in files.items()])
    return SourceRows(rows, str(folder), sha256=sha256)


def data_files(folder: Path) -> list[Path]:
    """The data files of `folder`, in the order of their names."""
    return sorted(path for path in folder.iterdir() if is_data_file(path))


def _rows_of_client(client: str, path: Path) -> Mapped[Row, Row]:
    try:
        rows = read_rows(path)
    except DataError as error:
        raise DataError(f"client '{client}': {error}") from None
    if isinstance(rows, RowsByClient):
        raise DataError(f"{path}: holds the rows of several clients, and a folder has a file per client; name the file itself")
    return Mapped(rows, partial(with_client, client))
