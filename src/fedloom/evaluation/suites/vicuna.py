"""The suite `vicuna`: 80 questions of one turn."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from fedloom.data.records import Turn
from fedloom.evaluation.benchmark_file import Form
from fedloom.evaluation.judging import SCORE_MEASURES, scores_summary
from fedloom.evaluation.suite import Scored, suites
from fedloom.evaluation.suites.rated import RatedSuite
from fedloom.evaluation.talker import Progress, Talker
from fedloom.measures import Measure


@suites.register("vicuna")
@dataclass(frozen=True)
class Vicuna(RatedSuite):
    """Vicuna's questions (Chiang et al. 2023): a judge rates each answer from 1 to 10. The first turn of each row is asked."""

    name = "vicuna"
    form = Form("FastChat's question.jsonl of Vicuna", {"question_id": object, "category": str, "turns": list})
    measures = (Measure("score", "score, 1 to 10", "", "higher"), *SCORE_MEASURES)

    def score(self, talker: Talker, progress: Progress) -> Sequence[Scored]:
        rows, prompts = self.rows(), self.score_prompts
        questions = [row.columns["turns"][0] for row in rows]
        said = talker.answers([[Turn("user", question)] for question in questions], self.max_new_tokens, progress=progress)
        asked = [prompts.ask([question], [answer]) for question, answer in zip(questions, said, strict=True)]
        verdicts = self.panel.scores(asked, talker.says, progress)
        return [
            Scored(str(row.columns["question_id"]), {**found, **self.panel.unparsed([found], "score")}, row.columns["category"])
            for row, found in zip(rows, verdicts, strict=True)
        ]

    def summary(self, rows: Sequence[Scored], counts: np.ndarray) -> Mapping[str, float]:
        return scores_summary([("score", "second_score")], rows, counts)
