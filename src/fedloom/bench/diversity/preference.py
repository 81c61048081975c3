"""Preference: how the length of the chosen answer stands to that of the rejected one.

Where nearly always the longer answer is chosen, a model that learns the pairs learns to be long.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from fedloom.bench.diversity.base import Analysis, Columns, Tools, analyses
from fedloom.bench.diversity.found import ALL, CLIENTS, Bars, Boxes, Cell, Found, Table, joined, quantiles_of, summary
from fedloom.data.records import Conversation
from fedloom.measures import SHARE, Measure, counted
from fedloom.synthesis.words import count_words

COLUMNS = (
    counted("pairs", "pairs"),
    Measure("chosen", "chosen, words", "", "neither"),
    Measure("rejected", "rejected, words", "", "neither"),
    Measure("difference", "chosen - rejected, words", "", "neither"),
    Measure("longer_chosen", "longer one chosen", SHARE, "neither"),
    counted("equal", "equally long"),
)


@analyses.register("preference")
@dataclass(frozen=True)
class Preference(Analysis):
    """Words of the chosen and of the rejected answer of every preference pair."""

    title: ClassVar[str] = "Preference"
    about: ClassVar[str] = (
        "Words of the chosen and the rejected answer of a pair, mean ± standard deviation over pairs, and the share of pairs in which the"
        " longer one was chosen, out of those that differ in length."
    )
    takes: ClassVar = "pairs"

    def values(self, rows: Sequence[Conversation], tools: Tools) -> Columns:
        return {
            "chosen": np.array([count_words(row.response) for row in rows], dtype=float),
            "rejected": np.array([np.nan if row.rejected is None else count_words(row.rejected) for row in rows], dtype=float),
        }

    def found(self, columns: Mapping[str, Columns], sizes: Mapping[str, int], tools: Tools) -> Found:
        rows = {client: _row(found) for client, found in columns.items()}
        total = _row({name: joined(columns, name) for name in ("chosen", "rejected")})
        table = Table(CLIENTS, "Preference pairs per client", "client", COLUMNS, rows, total)
        drawn = {**rows, ALL: total}.items()
        series = {part: {client: quantiles_of(part, row) for client, row in drawn} for part in ("chosen", "rejected")}
        shares = {client: row["longer_chosen"] for client, row in drawn}
        longer = Bars("longer", "The longer answer was chosen", "share of pairs", shares, share=True, line=0.5)
        return Found((table,), (longer, Boxes("answers", "Length of both answers", "words", series)))


def _row(found: Columns) -> dict[str, Cell]:
    pairs = np.isfinite(found["rejected"])
    chosen, rejected = found["chosen"][pairs], found["rejected"][pairs]
    differ = int((chosen != rejected).sum())
    return {
        "pairs": int(pairs.sum()),
        **summary("chosen", chosen),
        **summary("rejected", rejected),
        **summary("difference", chosen - rejected),
        "longer_chosen": float((chosen > rejected).sum()) / differ if differ else None,
        "equal": len(chosen) - differ,
    }
