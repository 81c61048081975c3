"""The probe `answers`: the joined model answers questions with reference answers, and the words that the two share are counted."""

from __future__ import annotations

import re
import string
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from statistics import fmean
from typing import Annotated

from pydantic import Field

from fedloom.data.records import Conversation
from fedloom.errors import RecipeError
from fedloom.evaluation.asking import NAME, answers_of, check_like, drawn, prefixed, prefixed_measures, rows_of, text_encoder
from fedloom.hooks import Probe, ServerSide, probes
from fedloom.measures import SHARE, Measure
from fedloom.registry import PLACE
from fedloom.state import State

MEASURES = (
    Measure("f1", "token F1 of answers", SHARE, "higher"),
    Measure("rouge_l", "ROUGE-L of answers", SHARE, "higher"),
    Measure("words", "words of an answer", "", "neither"),
)


@probes.register("answers")
@dataclass(frozen=True)
class Answers(Probe):
    """Greedy answers to public questions against their references: token F1 (Rajpurkar et al. 2016, arXiv 1606.05250, section 6.1) and
    ROUGE-L (Lin 2004, section 3.1, with beta 1), means over the questions, and the mean length, without which neither says much."""

    source: Annotated[str, Field(json_schema_extra=PLACE, description="data.source of the questions and their answers")] = field(
        kw_only=True
    )
    like: Annotated[str | None, Field(description="named set whose columns the source has")] = None
    prompts: Annotated[int, Field(ge=1, description="questions that are asked, drawn once by the seed")] = 60
    max_new_tokens: Annotated[int, Field(ge=1, description="length of an answer in tokens")] = 64
    name: Annotated[str | None, Field(pattern=NAME, description="what its measures carry before their names, in a second probe")] = None

    def __post_init__(self) -> None:
        check_like(self.like, "evaluate.probes: answers")

    def check(self, server: ServerSide) -> None:
        text_encoder(server)
        if not self._questions(server):
            raise RecipeError(f"evaluate.probes: answers: {self.source} has no question with an answer")

    def measures(self) -> list[Measure]:
        return prefixed_measures(self.name, MEASURES)

    def measure(self, state: State, server: ServerSide) -> Mapping[str, float]:
        asked = self._questions(server)
        said = answers_of(state, server, [row.prompt[-1].content for row in asked], self.max_new_tokens)
        pairs = [(answer, row.response) for answer, row in zip(said, asked, strict=True)]
        found = {
            "f1": fmean(token_f1(answer, right) for answer, right in pairs),
            "rouge_l": fmean(rouge_l(answer, right) for answer, right in pairs),
            "words": fmean(len(rouge_words(answer)) for answer in said),
        }
        return prefixed(self.name, found)

    def asked(self, server: ServerSide) -> list[str]:
        return [row.prompt[-1].content for row in self._questions(server)]

    def _questions(self, server: ServerSide) -> list[Conversation]:
        return drawn(rows_of(self.source, self.like, "evaluate.probes: answers: source"), self.prompts, server.recipe.seed)


def token_f1(said: str, right: str) -> float:
    """2PR / (P + R), P and R being the shares of words of either that the other has, each as often as it comes there. Two texts without
    words are alike."""
    own, other = squad_words(said), squad_words(right)
    shared = sum((Counter(own) & Counter(other)).values())
    return 2 * shared / (len(own) + len(other)) if shared else float(own == other)


def rouge_l(said: str, right: str) -> float:
    """2PR / (P + R), P and R being the longest common subsequence of both, in shares of either; 0 for texts without words."""
    own, others = rouge_words(said), rouge_words(right)
    lengths = [0] * (len(others) + 1)
    for word in own:
        above = 0
        for place, other in enumerate(others, start=1):
            above, lengths[place] = lengths[place], above + 1 if word == other else max(lengths[place], lengths[place - 1])
    return 2 * lengths[-1] / (len(own) + len(others)) if lengths[-1] else 0.0


def squad_words(text: str) -> list[str]:
    """The words of `text` as SQuAD compares them: in small letters, without the characters of punctuation, without articles."""
    bare = text.lower().translate(dict.fromkeys(map(ord, string.punctuation)))
    return re.sub(r"\b(a|an|the)\b", " ", bare).split()


def rouge_words(text: str) -> list[str]:
    """The runs of letters and digits of `text` in small letters: those that ROUGE's usual scorer finds, and those of other alphabets."""
    return re.findall(r"[^\W_]+", text.lower())
