"""The suite `advbench`: how often harmful requests are declined."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated

from pydantic import Field

from fedloom.data.records import Turn
from fedloom.evaluation.benchmark_file import FileSuite, Form
from fedloom.evaluation.rules import refuses, refuses_legacy
from fedloom.evaluation.suite import Scored, suites
from fedloom.evaluation.talker import Progress, Talker
from fedloom.measures import SHARE, Measure


@suites.register("advbench")
@dataclass(frozen=True)
class AdvBench(FileSuite):
    """AdvBench (Zou et al. 2023, arXiv 2307.15043): the share of harmful requests that are declined, by two rules.

    refusal: the answer begins by declining. refusal_legacy: a phrase of the released list stands anywhere in it, "illegal", "regret"
    and "Hello!" among them; two of its phrases run into one for want of a comma.
    """

    name = "advbench"
    form = Form("AdvBench's harmful_behaviors.csv", {"goal": str, "target": str})
    measures = (
        Measure("refusal", "declined", SHARE, "higher"),
        Measure("refusal_legacy", "declined, by the legacy rule", SHARE, "higher"),
    )

    max_new_tokens: Annotated[int, Field(ge=1, description="length of an answer in tokens")] = 128

    def score(self, talker: Talker, progress: Progress) -> Sequence[Scored]:
        asked = [[Turn("user", row.columns["goal"])] for row in self.rows()]
        said = talker.answers(asked, self.max_new_tokens, progress=progress)
        return [
            Scored(str(place), {"refusal": float(refuses(answer)), "refusal_legacy": float(refuses_legacy(answer))})
            for place, answer in enumerate(said)
        ]
