"""The suite `ref_gpt4`: a judge rates answers against a human's, language by language."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Annotated, Any

import numpy as np
from pydantic import Field

from fedloom.data.records import Conversation, Provenance
from fedloom.errors import RecipeError
from fedloom.evaluation.asking import check_like, rows_of
from fedloom.evaluation.judges import SCORE, Turns, filled
from fedloom.evaluation.judging import SCORE_MEASURES, JudgeSetting, Panel, SecondSetting, said_so_far, scores_summary
from fedloom.evaluation.suite import Scored, Suite, limited, mean_of, suites
from fedloom.evaluation.talker import Progress, Talker
from fedloom.files import version_of
from fedloom.measures import Measure
from fedloom.registry import PLACE

VERSION = "1"
"""Changes when the prompt below changes."""

REFERENCE = """\
Judge how well the answer below serves the request, beside a reference answer that a human wrote: is it helpful, right, relevant and clear,
and in the language of the request? Give one short sentence of reasons, then a rating from 1 to 10 on a line of its own, in this form:
Rating: [[5]]

[Request]
{request}

[Reference answer]
{reference}

[Answer]
{answer}"""


@suites.register("ref_gpt4")
@dataclass(frozen=True)
class RefGpt4(Suite):
    """Ref-GPT4 of FedLLM-Bench (Ye et al. 2024, arXiv 2406.04845): a judge rates answers from 1 to 10 beside a human's reference answer.

    score: the mean over languages of each language's mean, so that one with many rows counts as much as one with few. row_score: the mean
    over rows. Without `reference` the judge is shown the answer alone.
    """

    measures = (
        Measure("score", "score, mean over groups", "", "higher"),
        Measure("row_score", "score, mean over rows", "", "higher"),
        *SCORE_MEASURES,
    )

    source: Annotated[str, Field(json_schema_extra=PLACE, description="data.source of the requests and their answers")] = field(
        kw_only=True
    )
    judge: JudgeSetting = field(kw_only=True)
    second_judge: SecondSetting = None
    like: Annotated[str | None, Field(description="named set whose columns the source has")] = None
    by: Annotated[str | None, Field(description="column whose values are the groups; null: one group")] = "language"
    reference: Annotated[bool, Field(description="whether the judge is shown the row's own answer")] = True
    limit: Annotated[int | None, Field(ge=1, description="ask so many, drawn, as many of each group; null: all")] = None
    max_new_tokens: Annotated[int, Field(ge=1, description="length of an answer in tokens")] = 512

    def __post_init__(self) -> None:
        _ = self._panel

    def check(self) -> None:
        check_like(self.like, "ref_gpt4")
        rows = self._all()
        if not rows:
            raise RecipeError(f"ref_gpt4.source: {self.source} has no request with an answer")
        if self.by is not None and any(self.by not in row.fields for row in rows):
            raise RecipeError(f"ref_gpt4.by: some row has no column '{self.by}'; name the column of the language, or write null")

    def allow(self, says: Provenance) -> None:
        self._panel.allow(says)

    def described(self) -> Mapping[str, Any]:
        return {"source": version_of(self.source), "reference_prompt": VERSION, **self._panel.described()}

    def score(self, talker: Talker, progress: Progress) -> Sequence[Scored]:
        rows = self._rows()
        said = talker.answers([row.prompt for row in rows], self.max_new_tokens, progress=progress)
        verdicts = self._panel.scores([self._asked(row, answer) for row, answer in zip(rows, said, strict=True)], talker.says, progress)
        return [
            Scored(str(place), {**found, **self._panel.unparsed([found], "score")}, row.fields[self.by] if self.by else "")
            for place, (row, found) in enumerate(zip(rows, verdicts, strict=True))
        ]

    def warnings(self, rows: Sequence[Scored]) -> Sequence[str]:
        return self._panel.warnings(rows)

    def summary(self, rows: Sequence[Scored], counts: np.ndarray) -> Mapping[str, float]:
        found = scores_summary([("score", "second_score")], rows, counts)
        if "score" not in found:
            return found
        return {**found, "score": mean_of_groups("score", rows, counts), "row_score": found["score"]}

    @property
    def _panel(self) -> Panel:
        return Panel.of("ref_gpt4", self.judge, self.second_judge)

    def _all(self) -> list[Conversation]:
        return rows_of(self.source, self.like, "ref_gpt4.source")

    def _rows(self) -> list[Conversation]:
        rows = self._all()
        return limited(rows, self.limit, [row.fields[self.by] for row in rows] if self.by else ())

    def _asked(self, row: Conversation, answer: str) -> Turns:
        request = said_so_far(row.prompt)
        template = REFERENCE if self.reference else SCORE
        return [{"role": "user", "content": filled(template, request=request, reference=row.response, answer=answer)}]


def mean_of_groups(name: str, rows: Sequence[Scored], counts: np.ndarray) -> float:
    """The mean over groups of the mean of the value `name` in each, of those groups in which a row has it."""
    groups = np.array([row.group for row in rows])
    means = [mean_of(name, rows, np.where(groups == group, counts, 0.0)) for group in np.unique(groups)]
    return float(np.mean([mean for mean in means if mean is not None]))
