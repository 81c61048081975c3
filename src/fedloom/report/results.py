"""The held-out results of a run: a block per measure, a row per system, a column per client. Terminal and page show the same grid."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from fedloom.measures import Measure
from fedloom.report.record import ROWS, RunRecord

MANY_CLIENTS = 6
"""Up to this number, each client has its own column; above it, the columns are the lowest, median and highest value over clients."""

TITLES = {
    "base": "base model",
    "majority": "majority answer",
    "local": "each client alone",
    "local_own": "each client alone, own rows",
    "federated": "federated",
    "clustered": "federated within clusters, own rows",
    "finetuned": "federated, then tuned by each client, own rows",
    "finished": "after its finish steps",
    "centralized": "centralised",
}
"""system -> its title."""

NOT_FEDERATED = {"local": "a client alone", "centralized": "all data in one place"}
"""algorithm.name of a run without a federation -> the title of its joined model."""


@dataclass(frozen=True)
class Cell:
    """A result. `value` is None where nothing was measured; `best` marks the best of a column."""

    value: float | None
    best: bool = False


@dataclass(frozen=True)
class Row:
    """The results of one system, a cell per column."""

    system: str
    title: str
    cells: tuple[Cell, ...]


@dataclass(frozen=True)
class Block:
    """The results by one measure: a row per system that has a value."""

    measure: Measure
    rows: tuple[Row, ...]


@dataclass(frozen=True)
class Results:
    """The columns are the clients, or the lowest, median and highest value over clients, and then "all".

    `blocks` holds the measures that have values. `held_out_rows` is the number of rows that a column was measured on, None where it is
    not known.
    """

    columns: tuple[str, ...]
    blocks: tuple[Block, ...]
    held_out_rows: tuple[int | None, ...]


def results(record: RunRecord, many: int = MANY_CLIENTS) -> Results:
    """The final results of a run. With more than `many` clients the columns are the lowest, median and highest over clients, and all."""
    clients = measured_clients(record)
    summarised = len(clients) > many
    columns = ("lowest", "median", "highest", "all") if summarised else (*clients, "all")
    blocks = []
    for measure in record.measures:
        values = {}
        for system in record.systems():
            name = f"held_out/{system}/{measure.name}"
            each = [record.final(name, client) for client in clients]
            found = [*(_spread(each) if summarised else each), record.final(name)]
            if any(value is not None for value in found):
                values[system] = found
        if values:
            blocks.append(Block(measure, _with_best(record, values, measure)))
    counts = [_held_out_rows(record, client) for client in clients]
    counts = [*(_spread(counts) if summarised else counts), _held_out_rows(record, None)]
    return Results(columns, tuple(blocks), tuple(None if count is None else int(count) for count in counts))


def measured_clients(record: RunRecord) -> list[str]:
    """The clients with held-out results of any system."""
    names = [f"held_out/{system}/{measure.name}" for system in record.systems() for measure in record.measures]
    return [client for client in record.clients() if any(record.final(name, client) is not None for name in names)]


def _spread(values: Sequence[float | None]) -> list[float | None]:
    known = sorted(value for value in values if value is not None and math.isfinite(value))
    if not known:
        return [None, None, None]
    middle = len(known) // 2
    median = known[middle] if len(known) % 2 else (known[middle - 1] + known[middle]) / 2
    return [known[0], median, known[-1]]


def title(record: RunRecord, system: str) -> str:
    """The title of a system of this run."""
    algorithm = record.recipe.get("algorithm")
    trained = NOT_FEDERATED.get(str(algorithm.get("name"))) if system == "federated" and isinstance(algorithm, Mapping) else None
    return trained or TITLES.get(system, system)


def _with_best(record: RunRecord, values: dict[str, list[float | None]], measure: Measure) -> tuple[Row, ...]:
    best = []
    for column in zip(*values.values(), strict=True):
        known = [value for value in column if value is not None and math.isfinite(value)]
        best.append(measure.best(known) if len(known) > 1 else None)
    return tuple(
        Row(system, title(record, system), tuple(Cell(v, v is not None and v == b) for v, b in zip(cells, best, strict=True)))
        for system, cells in values.items()
    )


def _held_out_rows(record: RunRecord, client: str | None) -> float | None:
    counts = (record.final(f"held_out/{system}/{ROWS}", client) for system in ("federated", *record.systems()))
    return next((count for count in counts if count is not None), None)
