"""Rows: what a source gives before a reader turns them into records."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from fedloom.data.records import Provenance
from fedloom.files import sha256_of


@dataclass(frozen=True, repr=False)
class Row:
    """One row. `where` is what an error calls it: "train.jsonl:7". The representation never shows the columns' text."""

    columns: Mapping[str, Any]
    where: str

    def __repr__(self) -> str:
        return f"Row({self.where})"


@dataclass(frozen=True, repr=False)
class SourceRows:
    """The rows of a source, and what is known of them. A registered source may return this in place of plain row dicts.

    `rows` may be read as they are asked for. `licences` are per part of the source. `sha256` is of the files' bytes; null: of the rows.
    `reads` is the kind of record that the rows are read as: the name of a registered reader. `beside` are columns that say something of a
    row and are no part of what is trained on: of others that nothing reads, the user is told. `notes` are what the user is told of the
    files.
    """

    rows: Sequence[Row]
    origin: str
    provenance: Provenance = Provenance.PRIVATE
    licences: Mapping[str, str] = field(default_factory=dict)
    sha256: str | None = None
    reads: str = "conversation"
    beside: Sequence[str] = ()
    notes: tuple[str, ...] = ()

    def __iter__(self) -> Iterator[Mapping[str, Any]]:
        return (row.columns for row in self.rows)


def with_client(client: str, row: Row) -> Row:
    """`row` with the name of its client in the column `client`."""
    return Row({**row.columns, "client": client}, row.where)


def other_fields(row: Row, used: Iterable[str]) -> dict[str, str]:
    """The columns of `row` beside those `used`, as text; null ones are left out."""
    return {column: _plain(value) for column, value in row.columns.items() if column not in used and value is not None}


def sha256_of_rows(rows: Iterable[Row]) -> str:
    """A hash of all columns of `rows`."""
    digest = hashlib.sha256()
    for row in rows:
        digest.update(json.dumps(row.columns, ensure_ascii=False, sort_keys=True, default=_hashable).encode() + b"\n")
    return digest.hexdigest()


def sha256_of_files(files: Mapping[str, Path]) -> str:
    """A hash of the names and the bytes of `files`."""
    digest = hashlib.sha256()
    for name, path in files.items():
        digest.update(f"{name}\x1f{sha256_of(path)}\n".encode(errors="surrogateescape"))
    return digest.hexdigest()


def _plain(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, sort_keys=True, default=str) if isinstance(value, dict | list) else str(value)


def _hashable(value: Any) -> str:
    if isinstance(value, np.ndarray):  # as text, a large array would be shortened
        return f"{value.shape}{value.dtype}{hashlib.sha256(value.tobytes()).hexdigest()}"
    if isinstance(value, bytes):
        return hashlib.sha256(value).hexdigest()
    return str(value)
