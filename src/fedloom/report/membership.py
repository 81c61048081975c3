"""What a report says of membership: how well each client's training rows can be told from its held-out rows, by every system."""

from __future__ import annotations

import math
from statistics import fmean

from fedloom.measures import Measure
from fedloom.privacy.membership import by_chance
from fedloom.report.markup import Html, folded, row, searchable, table, tag
from fedloom.report.record import ROWS, RunRecord
from fedloom.report.results import title
from fedloom.report.text import counted

LISTED = 30
"""Up to this number of clients, each has its row on the page; more of them are folded away."""


def section(record: RunRecord) -> list[Html]:
    """A row for each client that was measured, a column for each system and measure, and the means; empty where none was."""
    columns, clients = _columns(record), _clients(record)
    if not columns:
        return []
    named = [f"{title(record, system)}, {measure.title}" for system, measure in columns]
    head = ["client", "rows of either kind", "by chance, 0.5 and up to", *named]
    body = []
    for client, rows in clients.items():
        values = (measure.shown(record.final(f"membership/{system}/{measure.name}", client)) for system, measure in columns)
        body.append(row(client, [f"{rows:,}", f"± {by_chance(rows, rows):.3f}", *values]))
    means = (measure.shown(record.final(f"membership/{system}/{measure.name}")) for system, measure in columns)
    last = row("mean", [f"{sum(clients.values()):,}", f"± {_chance_of_mean(list(clients.values())):.3f}", *means], class_="count")
    shown = [table("membership", head, body, [last])]
    if len(clients) > LISTED:
        every = searchable("membership of every client", head, body)
        shown = [table("membership", head, [last]), folded(f"{len(clients):,} clients", every)]
    about = "How well a client's training rows are told from its held-out rows: the area under the curve, 0.5 for not at all, 1 for all."
    return [tag("h3", "Membership, client by client"), tag("p", about), *shown]


def notes(record: RunRecord) -> list[str]:
    """What the areas count, and what they do not show; empty where none was measured."""
    columns, clients = _columns(record), _clients(record)
    if not columns:
        return []
    found = [measure.note for measure in dict.fromkeys(measure for _, measure in columns)]
    if len(found) < len(record.membership_measures):
        found.append(
            "RMIA is not shown: the model before training says the same of all rows, as an untrained network does, so that RMIA orders them"
            " as their loss does."
        )
    found.append(
        "Membership is measured on the joined model alone, by attacks that train no model of their own: 0.5 is no proof of privacy, and"
        " a stronger attack, or the updates of single clients, can show more."
    )
    if left := len(record.clients()) - len(clients):
        found.append(f"Membership leaves out {counted(left, 'client')}: too few rows to compare, or no answer.")
    if record.recipe_value("evaluate.source") is not None:
        found.append("The held-out rows come from evaluate.source: what sets the two sources apart counts as membership.")
    return found


def _columns(record: RunRecord) -> list[tuple[str, Measure]]:
    """(system, measure) with a value of all clients."""
    pairs = [(system, measure) for system in record.systems("membership") for measure in record.membership_measures]
    return [(system, measure) for system, measure in pairs if record.final(f"membership/{system}/{measure.name}") is not None]


def _clients(record: RunRecord) -> dict[str, int]:
    """client -> the rows of either kind that were compared, the same for every system."""
    counts = {
        client: next((rows for system in record.systems("membership") if (rows := record.final(f"membership/{system}/{ROWS}", client))), 0)
        for client in record.clients()
    }
    return {client: int(rows) for client, rows in counts.items() if rows}


def _chance_of_mean(rows: list[int]) -> float:
    """How far chance alone takes the mean of the areas from 0.5, in 95 of 100 cases; clients have no row in common."""
    return math.sqrt(fmean(by_chance(count, count) ** 2 for count in rows) / len(rows))
