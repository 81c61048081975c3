"""Rows: what a source gives before its columns are read as conversations."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from fedloom.data.records import Provenance


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

    `licences` are per part of the source. `sha256` is of the files' bytes; null: of the rows.
    """

    rows: Iterable[Row]
    origin: str
    provenance: Provenance = Provenance.PRIVATE
    licences: Mapping[str, str] = field(default_factory=dict)
    sha256: str | None = None

    def __iter__(self) -> Iterator[Mapping[str, Any]]:
        return (row.columns for row in self.rows)
