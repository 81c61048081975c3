"""The suite `evals`: sets of the package `evals` that ask for short answers, such as the letter of a choice."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from statistics import fmean
from typing import Annotated, Any

import numpy as np
from pydantic import Field

from fedloom.data.evals_demo import REQUIREMENT
from fedloom.data.records import Conversation
from fedloom.evaluation.asking import rows_of
from fedloom.evaluation.suite import Scored, Suite, limited, mean_of, suites
from fedloom.evaluation.talker import Progress, Talker
from fedloom.measures import SHARE, Measure

LETTER = re.compile(r"\W*([A-Za-z])(?:\W|$)")
"""What a choice begins with: `B`, `b) Atrophy`, `(B)`."""


@suites.register("evals")
@dataclass(frozen=True)
class EvalsSets(Suite):
    """Sets of the package evals by its rule `match`: right is what begins with a right answer; beside it the letter of the choice."""

    measures = (
        Measure("match", "begins with a right answer", SHARE, "higher"),
        Measure("exact_match", "exact match", SHARE, "higher"),
        Measure("letter", "right letter", SHARE, "higher"),
        Measure("match_of_sets", "begins with a right answer, mean of sets", SHARE, "higher"),
    )

    sets: Annotated[str | list[str], Field(description="names of sets, with commas between")] = field(kw_only=True)
    limit: Annotated[int | None, Field(ge=1, description="ask so many of each set, drawn; null: all")] = None
    max_new_tokens: Annotated[int, Field(ge=1, description="length of an answer in tokens")] = 32

    def check(self) -> None:
        for name in self._names():
            _rows(name)

    def described(self) -> Mapping[str, Any]:
        return {"package": REQUIREMENT}

    def score(self, talker: Talker, progress: Progress) -> Sequence[Scored]:
        asked = [(name, place, row) for name in self._names() for place, row in enumerate(limited(_rows(name), self.limit))]
        said = talker.answers([row.prompt for _, _, row in asked], self.max_new_tokens, progress=progress)
        return [
            Scored(f"{name}/{place}", scores(answer, [row.response, *row.alternatives]), name)
            for answer, (name, place, row) in zip(said, asked, strict=True)
        ]

    def summary(self, rows: Sequence[Scored], counts: np.ndarray) -> Mapping[str, float]:
        """Means over rows; of several sets also the mean of their means."""
        found = dict(super().summary(rows, counts))
        names = dict.fromkeys(row.group for row in rows)
        of_sets = [mean_of("match", rows, counts * np.array([row.group == name for row in rows])) for name in names]
        known = [one for one in of_sets if one is not None]
        return found | ({"match_of_sets": fmean(known)} if len(names) > 1 and known else {})

    def _names(self) -> list[str]:
        named = self.sets.split(",") if isinstance(self.sets, str) else self.sets
        return [name.strip() for name in named if name.strip()]


def scores(said: str, right: Sequence[str]) -> dict[str, float]:
    """What an answer scores, `right` being those that count; `letter` where they begin with one."""
    answer = said.strip()
    found = {"match": float(any(answer.startswith(one) for one in right)), "exact_match": float(answer in right)}
    letters = [letter for one in right if (letter := _letter(one))]
    return found | ({"letter": float(_letter(answer) in letters)} if letters else {})


def _rows(name: str) -> list[Conversation]:
    return rows_of(f"evals:{name}", None, "evals.sets")


def _letter(text: str) -> str:
    begins = LETTER.match(text)
    return begins[1].lower() if begins else ""
