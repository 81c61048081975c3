"""The suite `vicuna`: 80 questions of one turn."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Annotated, Any

import numpy as np
from pydantic import Field

from fedloom.data.records import Provenance, Turn
from fedloom.evaluation.benchmark_file import FileSuite, Form
from fedloom.evaluation.judging import (
    SCORE_MEASURES,
    JudgeSetting,
    Panel,
    PromptsSetting,
    SecondSetting,
    prompts_described,
    score_prompts,
    scores_summary,
)
from fedloom.evaluation.suite import Scored, suites
from fedloom.evaluation.talker import Progress, Talker
from fedloom.measures import Measure


@suites.register("vicuna")
@dataclass(frozen=True)
class Vicuna(FileSuite):
    """Vicuna's questions (Chiang et al. 2023): a judge rates each answer from 1 to 10. The first turn of each row is asked."""

    name = "vicuna"
    form = Form("FastChat's question.jsonl of Vicuna", {"question_id": object, "category": str, "turns": list})
    measures = (Measure("score", "score, 1 to 10", "", "higher"), *SCORE_MEASURES)

    judge: JudgeSetting = field(kw_only=True)
    second_judge: SecondSetting = None
    prompts: PromptsSetting = None
    max_new_tokens: Annotated[int, Field(ge=1, description="length of an answer in tokens")] = 1024

    def __post_init__(self) -> None:
        _ = self._panel

    def check(self) -> None:
        self.rows()
        score_prompts(self.prompts, "vicuna.prompts")

    def allow(self, says: Provenance) -> None:
        self._panel.allow(says)

    def described(self) -> Mapping[str, Any]:
        return {**super().described(), **self._panel.described(), **prompts_described(self.prompts)}

    def score(self, talker: Talker, progress: Progress) -> Sequence[Scored]:
        rows, prompts = self.rows(), score_prompts(self.prompts, "vicuna.prompts")
        questions = [row.columns["turns"][0] for row in rows]
        said = talker.answers([[Turn("user", question)] for question in questions], self.max_new_tokens, progress=progress)
        asked = [prompts.ask([question], [answer]) for question, answer in zip(questions, said, strict=True)]
        verdicts = self._panel.scores(asked, talker.says, progress)
        return [
            Scored(str(row.columns["question_id"]), {**found, **self._panel.unparsed([found], "score")}, row.columns["category"])
            for row, found in zip(rows, verdicts, strict=True)
        ]

    def summary(self, rows: Sequence[Scored], counts: np.ndarray) -> Mapping[str, float]:
        return scores_summary([("score", "second_score")], rows, counts)

    @property
    def _panel(self) -> Panel:
        return Panel.of("vicuna", self.judge, self.second_judge)
