"""What the numbers of a report do and do not show, in short sentences that hold for this run."""

from __future__ import annotations

import math

from fedloom.report.results import results
from fedloom.report.runfolder import RunRecord


def notes(record: RunRecord) -> list[str]:
    """The notes that apply to what this run has measured."""
    systems = record.systems()
    return [
        *_measures(systems, str(record.recipe_value("task.kind"))),
        *_chance(record),
        *_systems(systems),
        f"The run has one seed ({record.recipe.get('seed', 'unknown')}): how far another seed would move these numbers was not measured.",
        *_absences(record),
        *_privacy(record),
    ]


EXACT = {
    "dpo": "Exact match is, for this task, the share of pairs in which the tuned model favours the chosen answer more than its base did.",
    "orpo": "Exact match is, for this task, the share of pairs whose chosen answer has the greater odds.",
    "kto": "Exact match is, for this task, the share of answers that the tuned model favours, or disfavours, as it should.",
    "classify_head": "Exact match is, for this task, the accuracy: the label with the highest score is the right one.",
    "classify": "Exact match is, for this task, the accuracy: the likeliest label text is the right one.",
}
"""What the share of right rows counts where it is not the greedy answer."""


def _measures(systems: list[str], task: str) -> list[str]:
    if not systems:
        return ["Nothing was measured on held-out data, so this report shows only how training went."]
    greedy = "Exact match counts a row only when the greedy answer equals the reference, token for token: right in other words is wrong."
    return [
        EXACT.get(task, greedy),
        "Loss is measured on the reference answers. It can fall while exact match stands still.",
    ]


def _chance(record: RunRecord) -> list[str]:
    """Half the width of a 95 % interval of a share, at its widest (a share of one half): 1.96 sqrt(0.25 / n)."""
    counts = [count for count in results(record).held_out_rows if count]
    if not counts:
        return []
    few, every = min(counts), counts[-1]
    text = f"A share measured on {every:,} rows is known to about ±{_points(every)} points (95 % interval, at its widest)"
    return [f"{text}; on the {few:,} rows of the smallest column to about ±{_points(few)}." if few < every else f"{text}."]


def _points(rows: int) -> str:
    return f"{196 * math.sqrt(0.25 / rows):.1f}"


def _systems(systems: list[str]) -> list[str]:
    about = {
        "majority": "The majority answer is the commonest training answer, given to everything: a model must beat it to have learned.",
        "local": "Each client alone: one model per client, trained on its rows. Each is measured on all clients' rows, and the mean shown.",
        "centralized": "Centralised training pools all rows in one place, which the clients may not do: a mark to measure by.",
    }
    return [text for system, text in about.items() if system in systems]


def _absences(record: RunRecord) -> list[str]:
    failures = sum(event.value for event in record.metrics if event.name == "client/failed")
    if not failures:
        return []
    return [f"Clients failed {failures:.0f} time{'' if failures == 1 else 's'}; those rounds were joined from the replies that came."]


def _privacy(record: RunRecord) -> list[str]:
    if record.recipe.get("privacy"):
        return []
    return [
        "Rows stayed with their clients, but there is no formal privacy guarantee: updates can reveal something of the rows behind them."
    ]
