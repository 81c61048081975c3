"""The held-out results of a run as one grid, systems x columns, for the terminal and for the page alike."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from fedloom.report.runfolder import RunRecord

MANY_CLIENTS = 6
"""Up to here clients are shown one by one; beyond, by their lowest, middle and highest."""

MEASURES = {"exact_match": "exact match", "loss": "held-out loss"}
"""measure -> what it is called. A higher exact match is better, a lower loss."""

TITLES = {
    "base": "base model",
    "majority": "majority answer",
    "local": "each client alone",
    "federated": "federated",
    "finished": "after its finish steps",
    "centralized": "centralised",
}


NOT_FEDERATED = {"local": "a client alone", "centralized": "all data in one place"}
"""algorithm.name of a run without a federation -> what its joined model is called."""


@dataclass(frozen=True)
class Cell:
    """A result, None where nothing was measured; `best` of its column."""

    value: float | None
    best: bool = False


@dataclass(frozen=True)
class Row:
    """The results of one system, a cell per column."""

    system: str
    title: str
    cells: tuple[Cell, ...]


@dataclass(frozen=True)
class Results:
    """`columns`: clients (or lowest, median, highest over them), then "all"; `rows`: measure -> a row per system that has it.

    `held_out_rows` is the number of rows behind each column, None where it is not known.
    """

    columns: tuple[str, ...]
    rows: dict[str, tuple[Row, ...]]
    held_out_rows: tuple[int | None, ...]


def results(record: RunRecord, many: int = MANY_CLIENTS) -> Results:
    """The final results; with more than `many` clients the columns are the lowest, median and highest over clients, and all rows."""
    clients = measured_clients(record)
    summarised = len(clients) > many
    columns = ("lowest", "median", "highest", "all") if summarised else (*clients, "all")
    rows = {}
    for measure in MEASURES:
        values = {}
        for system in record.systems():
            name = f"held_out/{system}/{measure}"
            each = [record.final(name, client) for client in clients]
            found = [*(_spread(each) if summarised else each), record.final(name)]
            if any(value is not None for value in found):
                values[system] = found
        rows[measure] = _with_best(record, values, measure)
    counts = [_held_out_rows(record, client) for client in clients]
    counts = [*(_spread(counts) if summarised else counts), _held_out_rows(record, None)]
    return Results(columns, rows, tuple(None if count is None else int(count) for count in counts))


def measured_clients(record: RunRecord) -> list[str]:
    """The clients with held-out results of any system."""
    names = [f"held_out/{system}/{measure}" for system in record.systems() for measure in MEASURES]
    return [client for client in record.clients() if any(record.final(name, client) is not None for name in names)]


def shown(value: float | None, measure: str) -> str:
    """A result as text: exact match in percent, loss with three decimals, a dash where there is none."""
    if value is None:
        return "–"
    if not math.isfinite(value):
        return "not finite"
    return f"{value:.1%}" if measure == "exact_match" else f"{value:.3f}"


def _spread(values: Sequence[float | None]) -> list[float | None]:
    known = sorted(value for value in values if value is not None and math.isfinite(value))
    if not known:
        return [None, None, None]
    middle = len(known) // 2
    median = known[middle] if len(known) % 2 else (known[middle - 1] + known[middle]) / 2
    return [known[0], median, known[-1]]


def title(record: RunRecord, system: str) -> str:
    """What a system of this run is called."""
    algorithm = record.recipe.get("algorithm")
    trained = NOT_FEDERATED.get(str(algorithm.get("name"))) if system == "federated" and isinstance(algorithm, Mapping) else None
    return trained or TITLES.get(system, system)


def _with_best(record: RunRecord, values: dict[str, list[float | None]], measure: str) -> tuple[Row, ...]:
    best = []
    for column in zip(*values.values(), strict=True):
        known = [value for value in column if value is not None and math.isfinite(value)]
        best.append((max if measure == "exact_match" else min)(known) if len(known) > 1 else None)
    return tuple(
        Row(system, title(record, system), tuple(Cell(v, v is not None and v == b) for v, b in zip(cells, best, strict=True)))
        for system, cells in values.items()
    )


def _held_out_rows(record: RunRecord, client: str | None) -> float | None:
    counts = (record.final(f"held_out/{system}/rows", client) for system in ("federated", *record.systems()))
    return next((count for count in counts if count is not None), None)
