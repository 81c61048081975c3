"""The suite `mt_bench`: 80 questions in eight categories, each with a second one that goes on from the model's own first answer."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Annotated, Any

import numpy as np
from pydantic import Field

from fedloom.data.records import Turn
from fedloom.data.rows import Row
from fedloom.errors import DataError
from fedloom.evaluation.benchmark_file import Form, benchmark_rows
from fedloom.evaluation.judges import Turns
from fedloom.evaluation.judging import SCORE_MEASURES, ScorePrompts, scores_summary
from fedloom.evaluation.suite import Scored, mean_of, suites
from fedloom.evaluation.suites.rated import RatedSuite
from fedloom.evaluation.talker import Progress, Talker
from fedloom.files import content_sha256, local_path
from fedloom.measures import Measure
from fedloom.registry import PLACE

GUIDED = ("math", "reasoning", "coding")
"""Categories in which a judge is shown the reference answers."""

REFERENCES = Form("FastChat's reference_answer/gpt-4.jsonl", {"question_id": object, "choices": list})


@suites.register("mt_bench")
@dataclass(frozen=True)
class MtBench(RatedSuite):
    """MT-Bench (Zheng et al. 2023, arXiv 2306.05685): a judge rates the answers to two turns from 1 to 10.

    The second turn is asked with the model's own first answer before it. Of questions of math, reasoning and coding the judge is shown
    reference answers: those of `references`, or those that the file has. score: the mean of all verdicts that could be read.
    """

    name = "mt_bench"
    form = Form("FastChat's question.jsonl of MT-Bench", {"question_id": object, "category": str, "turns": list})
    measures = (
        Measure("score", "score, 1 to 10", "", "higher"),
        Measure("turn_1", "first turn", "", "higher"),
        Measure("turn_2", "second turn", "", "higher"),
        *SCORE_MEASURES,
    )

    references: Annotated[
        str | None,
        Field(json_schema_extra=PLACE, description="FastChat's reference_answer/gpt-4.jsonl; null: what the questions' file has"),
    ] = None

    def check(self) -> None:
        super().check()
        self._references(self.rows())

    def described(self) -> Mapping[str, Any]:
        known = {"references_sha256": content_sha256(local_path(self.references))} if self.references else {}
        return {**super().described(), **known}

    def rows(self) -> Sequence[Row]:
        rows = super().rows()
        for row in rows:
            if len(row.columns["turns"]) != 2:
                raise DataError(f"{row.where}: has {len(row.columns['turns'])} turns, and MT-Bench asks two; see the suite vicuna for one")
        return rows

    def score(self, talker: Talker, progress: Progress) -> Sequence[Scored]:
        rows = self.rows()
        asked = _asked(rows, _answers(talker, rows, self.max_new_tokens, progress), self._references(rows), self.score_prompts)
        verdicts = self.panel.scores(asked, talker.says, progress)
        return [self._scored(row, verdicts[2 * i : 2 * i + 2]) for i, row in enumerate(rows)]

    def summary(self, rows: Sequence[Scored], counts: np.ndarray) -> Mapping[str, float]:
        turns = {name: found for name in ("turn_1", "turn_2") if (found := mean_of(name, rows, counts)) is not None}
        return scores_summary([("turn_1", "second_turn_1"), ("turn_2", "second_turn_2")], rows, counts) | turns

    def _references(self, rows: Sequence[Row]) -> list[list[str]]:
        """The reference answers that the judge is shown of each row, up to one that is missing."""
        if self.references is None:
            return [_given(row.columns.get("reference")) if _guided(row) else [] for row in rows]
        known = {str(row.columns["question_id"]): row for row in benchmark_rows(self.references, REFERENCES, "mt_bench.references")}
        return [_released(known, row, self.references) if _guided(row) else [] for row in rows]

    def _scored(self, row: Row, verdicts: Sequence[Mapping[str, float]]) -> Scored:
        values = {
            f"{whose}turn_{turn}": found[f"{whose}score"]
            for turn, found in enumerate(verdicts, start=1)
            for whose in ("", "second_")
            if f"{whose}score" in found
        }
        read = [values[name] for name in ("turn_1", "turn_2") if name in values]
        mean = {"score": fmean(read)} if read else {}
        return Scored(
            str(row.columns["question_id"]), {**mean, **values, **self.panel.unparsed(verdicts, "score")}, row.columns["category"]
        )


def _answers(talker: Talker, rows: Sequence[Row], max_new_tokens: int, progress: Progress) -> list[tuple[str, str]]:
    """The answers to both turns of each row."""
    first = [Turn("user", row.columns["turns"][0]) for row in rows]
    one = talker.answers([[turn] for turn in first], max_new_tokens, progress=lambda done, total: progress(done, 2 * total))
    again = [
        [turn, Turn("assistant", said), Turn("user", row.columns["turns"][1])] for turn, said, row in zip(first, one, rows, strict=True)
    ]
    two = talker.answers(again, max_new_tokens, progress=lambda done, total: progress(total + done, 2 * total))
    return list(zip(one, two, strict=True))


def _asked(
    rows: Sequence[Row], answers: Sequence[tuple[str, str]], references: Sequence[Sequence[str]], prompts: ScorePrompts
) -> list[Turns]:
    """What a judge is asked of the first and of the second answer of each row, one after the other."""
    asked = []
    for row, said, known in zip(rows, answers, references, strict=True):
        for turns in (1, 2):
            shown = known[:turns] if len(known) >= turns else []
            asked.append(prompts.ask(row.columns["turns"][:turns], said[:turns], shown))
    return asked


def _guided(row: Row) -> bool:
    return row.columns["category"] in GUIDED


def _given(found: Any) -> list[str]:
    """Texts up to one that is missing."""
    texts = found if isinstance(found, list) else []
    filled = [isinstance(text, str) and bool(text.strip()) for text in texts]
    return list(texts[: filled.index(False) if False in filled else len(texts)])


def _released(known: Mapping[str, Row], row: Row, place: str) -> list[str]:
    """The two answers of a file of reference answers. Raises DataError where it lacks one of them."""
    question = str(row.columns["question_id"])
    choices = known[question].columns["choices"] if question in known else []
    found = _given(choices[0].get("turns")) if choices and isinstance(choices[0], dict) else []
    if len(found) < 2:
        sha256 = content_sha256(local_path(place))[:12]
        raise DataError(
            f"mt_bench.references: {place} has no two answers to question {question}; expected {REFERENCES.file}, this file has sha256"
            f" {sha256}"
        )
    return found
