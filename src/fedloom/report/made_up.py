"""Rows that finish steps made up, in a report: some of those that were trained on, and of those that were not, each with its reason."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from fedloom.report.markup import Html, joined, tag
from fedloom.report.record import RunRecord
from fedloom.report.text import counted

MOST = 6
"""Rows of each kind that are shown."""


def content(record: RunRecord) -> list[Html]:
    """What a report shows of made-up rows; empty for a run that made none up."""
    found: list[Html] = []
    for rows, said in ((record.synthetic, "trained on"), (record.rejected, "left out")):
        if rows:
            shown = [rows[i * len(rows) // MOST] for i in range(MOST)] if len(rows) > MOST else rows
            found += [
                tag("p", f"{counted(len(shown), 'row')} of {len(rows)} that were made up and {said}:"),
                tag("div", joined([_card(one) for one in shown]), class_="samples"),
            ]
    return found


def _card(one: Mapping[str, Any]) -> Html:
    turns: Sequence[Any] = one["messages"] if isinstance(one.get("messages"), list) else []
    parts = [(str(turn.get("role", "")), str(turn.get("content", ""))) for turn in turns if isinstance(turn, Mapping)]
    terms = joined([joined([tag("dt", role), tag("dd", text or "(empty)")]) for role, text in parts])
    return tag("article", tag("h3", str(one.get("reason") or "pair").replace("_", " ")), tag("dl", terms), class_="sample")
