"""Run diversity analyses on the rows of clients, each piece of them once, and let of private rows only numbers out."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from fedloom.bench.diversity.base import Analysis, Columns, Tools
from fedloom.bench.diversity.found import Cell, Chart, Found, Table
from fedloom.data.record_sequence import digests, provenances
from fedloom.data.records import Conversation, Record
from fedloom.errors import PartError, RecipeError
from fedloom.registry import gave

PIECE = 64
"""Rows that are analysed at once: what a stopped analysis loses at the most."""

Tell = Callable[[str, int, int], None]
"""Is told of an analysis, how many of its rows are done, and of how many."""


@dataclass(frozen=True)
class Holding:
    """The rows of each client. `private`: some of them may not leave their owner. `own`: whoever looks at the result owns the rows."""

    rows: Mapping[str, Sequence[Record]]
    kind: str
    private: bool
    own: bool

    @property
    def bound(self) -> bool:
        """Whether only numbers may be written."""
        return self.private and not self.own

    @property
    def has_pairs(self) -> bool:
        """Whether the rows are preference pairs, which the first row of every client tells."""
        return any(isinstance(rows[0], Conversation) and rows[0].rejected is not None for rows in self.rows.values())


@dataclass(frozen=True)
class Analysed:
    """What was found, by the names of the analyses, and what it was made of.

    `sizes` are the rows of each client, `left_out` says in one line why an analysis was not made, `made_with` has versions and models, and
    `notes` what is told of the data. `private` and `own` are those of the `Holding`.
    """

    origin: str
    licences: Mapping[str, str]
    sha256: str
    sizes: Mapping[str, int]
    private: bool
    own: bool
    model: str
    seed: int
    analyses: Mapping[str, Analysis]
    found: Mapping[str, Found]
    made_with: Mapping[str, Any]
    left_out: Mapping[str, str]
    notes: Sequence[str]


def holding_of(rows: Mapping[str, Sequence[Record]], kind: str, own: bool) -> Holding:
    return Holding(rows, kind, any(not one.may_leave for of_client in rows.values() for one in provenances(of_client)), own)


def why_not(name: str, analysis: Analysis, holding: Holding) -> str:
    """Why the analysis cannot be made of these rows, in one line; empty where it can."""
    if analysis.takes != "records" and holding.kind != Conversation.kind:
        return f"{name}: reads conversations, and these rows are {holding.kind}s"
    if analysis.takes == "pairs" and not holding.has_pairs:
        return f"{name}: reads preference pairs (the columns chosen and rejected), and these rows are none"
    if analysis.shows and holding.bound:
        return f"{name}: shows {analysis.shows}, and some rows are PRIVATE; --own allows it, for the screen of their owner"
    return ""


def run_analysis(name: str, analysis: Analysis, holding: Holding, tools: Tools, tell: Tell) -> Found:
    """Tables and charts of one analysis. Of rows that are bound to their owner, only what may leave him.

    Raises RecipeError when it cannot be made of these rows, PartError when it does not give what its class says.
    """
    if problem := why_not(name, analysis, holding):
        raise RecipeError(problem)
    version = [name, analysis.version, analysis.made_with(tools)]
    sizes = {client: len(rows) for client, rows in holding.rows.items()}
    done, columns = 0, dict[str, Columns]()
    for client, rows in holding.rows.items():
        pieces = []
        for piece in _pieces(rows):
            pieces.append(tools.keep([*version, list(map(int, digests(piece)))], lambda piece=piece: _values(name, analysis, piece, tools)))  # type: ignore[misc]
            done += len(piece)
            tell(name, done, sum(sizes.values()))
        columns[client] = {column: np.concatenate([piece[column] for piece in pieces]) for column in pieces[0]}
    found = gave(analysis.found(columns, sizes, tools), Found, f"{name}.found")
    return _bound(name, analysis, found, sizes) if holding.bound else found


def _pieces(rows: Sequence[Record]) -> Iterator[Any]:
    return (rows[start : start + PIECE] for start in range(0, len(rows), PIECE))


def _values(name: str, analysis: Analysis, rows: Any, tools: Tools) -> Columns:
    found = gave(analysis.values(list(rows), tools), Mapping, f"{name}.values")
    for column, values in found.items():
        if len(gave(values, np.ndarray, f"{name}.values: {column}")) != len(rows):
            raise PartError(f"{name}.values: {column} should have a value for each row")
    return found


def _bound(name: str, analysis: Analysis, found: Found, sizes: Mapping[str, int]) -> Found:
    """`found` without the tables that may not leave. Raises PartError for texts in the others, and for charts that show rows."""
    tables = tuple(table for table in found.tables if table.name in analysis.leaves)
    for table in tables:
        if not set(table.rows) <= set(sizes) or not all(map(_is_number, _cells(table))):
            raise PartError(f"{name}.found: the table {table.name} should hold numbers of clients alone, since rows are PRIVATE")
    if any(isinstance(chart, Chart) and chart.shows_rows for chart in found.charts):
        raise PartError(f"{name}.found: its charts show rows, and some are PRIVATE; say so in {type(analysis).__name__}.shows")
    return replace(found, tables=tables)


def _cells(table: Table) -> Iterator[Cell]:
    for row in (*table.rows.values(), table.total or {}):
        yield from row.values()


def _is_number(cell: Cell) -> bool:
    return cell is None or (isinstance(cell, int | float) and not isinstance(cell, bool))
