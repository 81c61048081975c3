"""Sentences that say what the numbers of this run show and what they do not show."""

from __future__ import annotations

import math

from fedloom.data.row_notes import row_notes
from fedloom.measures import Measure
from fedloom.report import membership
from fedloom.report.record import RunRecord
from fedloom.report.results import results
from fedloom.report.text import capitalised, counted


def notes(record: RunRecord) -> list[str]:
    """The notes that apply to what this run has measured."""
    systems = record.systems()
    return [
        *_measured(record),
        *_chance(record),
        *_systems(systems),
        f"The run has one seed ({record.recipe.get('seed', 'unknown')}): how far another seed would move these numbers was not measured.",
        *(capitalised(note.removeprefix("warning: ")) + "." for note in row_notes(record.holdings())),
        *_absences(record),
        *membership.notes(record),
        *_privacy(record),
    ]


def _measured(record: RunRecord) -> list[str]:
    """What each measure counts, in the words of its declaration."""
    blocks = results(record).blocks
    missing = [] if blocks else ["Nothing was measured on held-out data, so this report does not show how good the model is."]
    measures = (*(block.measure for block in blocks), *record.probe_measures, *record.finish_measures, *_of_updates(record))
    return [*missing, *dict.fromkeys(measure.note for measure in measures if measure.note)]


def _of_updates(record: RunRecord) -> list[Measure]:
    """The measures of the updates that were taken: a run of one client has none."""
    return [measure for measure in record.update_measures if record.series(f"update/{measure.name}")]


def _chance(record: RunRecord) -> list[str]:
    """Half the width of a 95 % interval of a share, at its widest (a share of one half): 1.96 sqrt(0.25 / n)."""
    found = results(record)
    counts = [count for count in found.held_out_rows if count]
    if not counts or not any(block.measure.is_share for block in found.blocks):
        return []
    few, every = min(counts), counts[-1]
    text = f"A share measured on {every:,} rows is known to about ±{_points(every)} points (95 % interval, at its widest)"
    return [f"{text}; on the {few:,} rows of the smallest column to about ±{_points(few)}." if few < every else f"{text}."]


def _points(rows: int) -> str:
    return f"{196 * math.sqrt(0.25 / rows):.1f}"


def _systems(systems: list[str]) -> list[str]:
    about = {
        "majority": "The majority answer is the commonest of the training rows, given to all rows. A model must be better to have learned.",
        "local": "Each client alone: one model per client, trained on its rows. Each is measured on all clients' rows; the mean is shown.",
        "local_own": "Own rows: each client's rows are measured with the model that was made for this client, not for others.",
        "centralized": "Centralised training pools all rows in one place, which the clients may not do. It shows what is lost by that.",
    }
    return [text for system, text in about.items() if system in systems]


def _absences(record: RunRecord) -> list[str]:
    failures = sum(event.value for event in record.metrics if event.name == "client/failed")
    if not failures:
        return []
    return [f"Clients failed {counted(round(failures), 'time')}; those rounds were joined from the replies that came."]


def _privacy(record: RunRecord) -> list[str]:
    if record.recipe.get("privacy"):
        return []
    return [
        "Rows stayed with their clients, but there is no formal privacy guarantee: updates can reveal something of the rows behind them."
    ]
