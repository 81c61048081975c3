"""The suite `questions`: questions of the user's own, with reference answers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Annotated, Any

from pydantic import Field

from fedloom.errors import RecipeError
from fedloom.evaluation.answers import rouge_l, squad_words, token_f1
from fedloom.evaluation.asking import check_like, rows_of
from fedloom.evaluation.suite import Scored, Suite, limited, suites
from fedloom.evaluation.talker import Progress, Talker
from fedloom.files import version_of
from fedloom.measures import SHARE, Measure
from fedloom.registry import PLACE

WHERE = "questions.source"


@suites.register("questions")
@dataclass(frozen=True)
class Questions(Suite):
    """Questions of your own against their answers: exact match and token F1 (Rajpurkar et al. 2016), ROUGE-L (Lin 2004)."""

    measures = (
        Measure("exact_match", "exact match", SHARE, "higher"),
        Measure("f1", "token F1", SHARE, "higher"),
        Measure("rouge_l", "ROUGE-L", SHARE, "higher"),
    )

    source: Annotated[str, Field(json_schema_extra=PLACE, description="data.source of the questions and their answers")] = field(
        kw_only=True
    )
    like: Annotated[str | None, Field(description="named set whose columns the source has")] = None
    limit: Annotated[int | None, Field(ge=1, description="ask so many, drawn; null: all")] = None
    max_new_tokens: Annotated[int, Field(ge=1, description="length of an answer in tokens")] = 64

    def check(self) -> None:
        check_like(self.like, "questions")
        if not rows_of(self.source, self.like, WHERE):
            raise RecipeError(f"{WHERE}: {self.source} has no question with an answer")

    def described(self) -> Mapping[str, Any]:
        return {"source": version_of(self.source)}

    def score(self, talker: Talker, progress: Progress) -> Sequence[Scored]:
        rows = limited(rows_of(self.source, self.like, WHERE), self.limit)
        said = talker.answers([row.prompt for row in rows], self.max_new_tokens, progress=progress)
        return [Scored(str(place), _scores(answer, row.response)) for place, (answer, row) in enumerate(zip(said, rows, strict=True))]


def _scores(said: str, right: str) -> dict[str, float]:
    return {
        "exact_match": float(squad_words(said) == squad_words(right)),
        "f1": token_f1(said, right),
        "rouge_l": rouge_l(said, right),
    }
