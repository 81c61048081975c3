"""What a diversity analysis gives: tables of numbers, and charts as plain data. `fedloom.report` draws them and writes the page."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from fedloom.measures import Measure

CLIENTS = "clients"
"""The name of the table with a row for each client."""

ALL = "all clients"
"""What stands for all clients together among the clients of a chart. No client has this name, since none has a space in it."""

Cell = float | int | str | None
"""A value of a table; None: there is none."""

QUANTILES = (5, 25, 50, 75, 95)
"""Per cent, of which a summary has the quantiles `NAME_p5` and so on, beside the mean `NAME` and the standard deviation `NAME_sd`."""


@dataclass(frozen=True)
class Table:
    """Head of a row -> its values by name.

    `head` says what the heads are: client, verb. `columns` are what is shown; a value NAME_sd stands beside NAME. Rows may have more values
    than that, which the files of the table have. `total` are the values of all clients together.
    """

    name: str
    title: str
    head: str
    columns: tuple[Measure, ...]
    rows: Mapping[str, Mapping[str, Cell]]
    total: Mapping[str, Cell] | None = None


@dataclass(frozen=True)
class Chart:
    """`title` of a picture, and `label` of its axis with the unit."""

    shows_rows: ClassVar[bool] = False
    """Whether it shows words of rows, or something of each single row."""

    name: str
    title: str
    label: str


@dataclass(frozen=True)
class Bars(Chart):
    """A number of each client. With `share` it is between 0 and 1. `line` is a number to compare with."""

    values: Mapping[str, Cell]
    share: bool = False
    line: float | None = None


@dataclass(frozen=True)
class Boxes(Chart):
    """Quantiles over rows: series -> client -> `quantiles_of` it. `line` is a number to compare with."""

    series: Mapping[str, Mapping[str, Mapping[str, Cell]]]
    line: float | None = None


@dataclass(frozen=True)
class Shares(Chart):
    """Of each client, how many rows fall to each of `parts`. What is in none of them is drawn as others."""

    parts: tuple[str, ...]
    counts: Mapping[str, Sequence[int]]
    totals: Mapping[str, int]


@dataclass(frozen=True)
class Words(Shares):
    """As `Shares`, where the parts are words of rows."""

    shows_rows: ClassVar[bool] = True


@dataclass(frozen=True)
class Rings(Chart):
    """Words and the words that stand with them: word of the inner ring -> word of the outer one, empty for all others -> rows."""

    shows_rows: ClassVar[bool] = True

    words: Mapping[str, Mapping[str, int]]


@dataclass(frozen=True)
class Points(Chart):
    """A point of the plane for each row: `places` (rows, 2), and `client_of` (rows,) the number of its client in `clients`."""

    shows_rows: ClassVar[bool] = True

    clients: tuple[str, ...]
    client_of: np.ndarray
    places: np.ndarray


@dataclass(frozen=True)
class Found:
    """All that one analysis gives. `notes` are sentences that its reader should know."""

    tables: tuple[Table, ...]
    charts: tuple[Chart, ...]
    notes: tuple[str, ...] = ()


def summary(name: str, values: np.ndarray) -> dict[str, Cell]:
    """Mean, standard deviation over rows (of n, not n - 1) and quantiles of those of `values` that are numbers."""
    known = values[np.isfinite(values)].astype(np.float64)
    names = [f"{name}_p{share}" for share in QUANTILES]
    if len(known) == 0:
        return dict.fromkeys([name, f"{name}_sd", *names])
    quantiles = np.percentile(known, QUANTILES).tolist()
    return {name: float(known.mean()), f"{name}_sd": float(known.std()), **dict(zip(names, quantiles, strict=True))}


def quantiles_of(name: str, row: Mapping[str, Cell]) -> dict[str, Cell]:
    """The `summary` of one name out of a row that has several."""
    return {f"p{share}": row[f"{name}_p{share}"] for share in QUANTILES}


def joined(columns: Mapping[str, Mapping[str, np.ndarray]], name: str) -> np.ndarray:
    """The column `name` of all clients, one after another."""
    return np.concatenate([found[name] for found in columns.values()])
