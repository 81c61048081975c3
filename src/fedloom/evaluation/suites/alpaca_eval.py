"""The suite `alpaca_eval`: answers compared with those of another model."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Annotated, Any

import numpy as np
from pydantic import Field

from fedloom.data.records import Provenance, Turn
from fedloom.data.rows import Row
from fedloom.errors import DataError
from fedloom.evaluation.benchmark_file import FileSuite, Form
from fedloom.evaluation.judging import PAIR_MEASURES, JudgeSetting, Panel, SecondSetting, wins_summary
from fedloom.evaluation.length_control import length_controlled
from fedloom.evaluation.suite import Scored, mean_of, suites
from fedloom.evaluation.talker import Progress, Talker
from fedloom.measures import SHARE, Measure

DIFFICULTY = "instruction_difficulty"


@suites.register("alpaca_eval")
@dataclass(frozen=True)
class AlpacaEval(FileSuite):
    """AlpacaEval (Li et al. 2023): a judge compares each answer with a reference model's, in both orders; a tie counts half.

    win_rate: how often the model's answers are better. lc_win_rate: the same if both were equally long (Dubois et al. 2024, arXiv
    2404.04475), with the difficulty of each instruction where all rows of the file have a number in the column instruction_difficulty.
    """

    name = "alpaca_eval"
    form = Form("AlpacaEval's reference outputs", {"instruction": str, "output": str, "generator": str})
    measures = (
        Measure("win_rate", "win rate", SHARE, "higher"),
        Measure("lc_win_rate", "length-controlled win rate", SHARE, "higher"),
        Measure("longer", "characters more than the reference", "", "neither"),
        *PAIR_MEASURES,
    )

    judge: JudgeSetting = field(kw_only=True)
    second_judge: SecondSetting = None
    max_new_tokens: Annotated[int, Field(ge=1, description="length of an answer in tokens")] = 1024

    def __post_init__(self) -> None:
        _ = self._panel

    def allow(self, says: Provenance) -> None:
        self._panel.allow(says)

    def described(self) -> Mapping[str, Any]:
        generators = sorted({str(row.columns["generator"]) for row in self.rows()})
        return {**super().described(), "generators": generators, **self._panel.described()}

    def rows(self) -> Sequence[Row]:
        rows = super().rows()
        for row in rows:
            _ = _difficulty(row)
        return rows

    def score(self, talker: Talker, progress: Progress) -> Sequence[Scored]:
        rows = self.rows()
        asked = [str(row.columns["instruction"]) for row in rows]
        said = talker.answers([[Turn("user", instruction)] for instruction in asked], self.max_new_tokens, progress=progress)
        pairs = [(instruction, answer, str(row.columns["output"])) for instruction, answer, row in zip(asked, said, rows, strict=True)]
        verdicts = self._panel.wins(pairs, talker.says, progress)
        return [
            Scored(
                str(place), {"longer": float(len(own) - len(other)), **_difficulty(row), **found, **self._panel.unparsed([found], "win")}
            )
            for place, (row, (_, own, other), found) in enumerate(zip(rows, pairs, verdicts, strict=True))
        ]

    def warnings(self, rows: Sequence[Scored]) -> Sequence[str]:
        return self._panel.warnings(rows)

    def summary(self, rows: Sequence[Scored], counts: np.ndarray) -> Mapping[str, float]:
        found = wins_summary(rows, counts) | {"longer": mean_of("longer", rows, counts) or 0.0}
        read = np.array(["win" in row.values for row in rows])
        if not counts[read].sum():
            return found
        judged, times = [row for row, known in zip(rows, read, strict=True) if known], counts[read]
        wins, longer = (np.array([row.values[name] for row in judged]) for name in ("win", "longer"))
        known = all("difficulty" in row.values for row in judged)
        difficulty = np.array([row.values["difficulty"] for row in judged]) if known else None
        rates = {"win_rate": float(np.average(wins, weights=times)), "lc_win_rate": length_controlled(wins, longer, difficulty, times)}
        return rates | found

    @property
    def _panel(self) -> Panel:
        return Panel.of("alpaca_eval", self.judge, self.second_judge)


def _difficulty(row: Row) -> dict[str, float]:
    """The difficulty of a row's instruction, where the file has one."""
    value = row.columns.get(DIFFICULTY)
    try:
        return {} if value is None or value == "" else {"difficulty": float(value)}
    except (TypeError, ValueError):
        raise DataError(f"{row.where}: column '{DIFFICULTY}' should be a number; mend it, or leave the column out") from None
