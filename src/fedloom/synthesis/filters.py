"""Filters: what speaks against a pair of question and answer, in a short word. Each sees the pairs that those before it have left."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Annotated, Any

import torch
from pydantic import Field

from fedloom.errors import ModelError, RecipeError
from fedloom.evaluation.judges import Reward
from fedloom.models.load import labels_of, load_model
from fedloom.privacy.personal_data import DEFAULT_KINDS, KINDS, SCORE, Search, found_in, require_search, search_of
from fedloom.recipe import ModelRecipe
from fedloom.registry import PLACE, Registry
from fedloom.synthesis.prompting import Pair
from fedloom.synthesis.words import NEGATION, content_words, count_words, ngrams, numbers_in, stem, words

SENTENCE = re.compile(r"(?<=[.!?。！？])\s+")
"""Between two sentences."""


class PairFilter:
    """One filter. Kinds are dataclasses whose fields are their settings."""

    def reasons(self, pairs: Sequence[Pair]) -> list[str | None]:
        """For each pair a short name of what is wrong with it (small letters and _), or None."""
        raise NotImplementedError

    def check(self) -> None:
        """Raise a FedloomError, before anything is written, when it cannot be used."""


pair_filters: Registry[Any] = Registry("pair filter", PairFilter)


def filtered(pairs: Sequence[Pair], chain: Sequence[PairFilter]) -> tuple[list[Pair], Counter[str]]:
    """The pairs that no filter of the chain speaks against, and how many were left out for which reason. The two add up to all `pairs`."""
    left, counts = list(pairs), Counter[str]()
    for one in chain:
        reasons = one.reasons(left)
        counts.update(reason for reason in reasons if reason is not None)
        left = [pair for pair, reason in zip(left, reasons, strict=True) if reason is None]
    return left, counts


def _each(pairs: Sequence[Pair], reason: Callable[[Pair], str | None]) -> list[str | None]:
    return [reason(pair) for pair in pairs]


@pair_filters.register("lengths")
@dataclass(frozen=True)
class Lengths(PairFilter):
    """Leaves out pairs with too few or too many words (`too_short`, `too_long`). Good answers may have one word."""

    question: Annotated[tuple[int, int], Field(description="fewest and most words of a question")] = (3, 60)
    answer: Annotated[tuple[int, int], Field(description="fewest and most words of an answer")] = (1, 200)

    def __post_init__(self) -> None:
        for name in ("question", "answer"):
            least, most = getattr(self, name)
            if not 0 <= least <= most:
                raise RecipeError(
                    f"filters: lengths: {name}: is [{least}, {most}]; it should be the fewest words, 0 or more, then the most"
                )

    def reasons(self, pairs: Sequence[Pair]) -> list[str | None]:
        return _each(pairs, self._reason)

    def _reason(self, pair: Pair) -> str | None:
        for text, (least, most) in ((pair.question, self.question), (pair.answer, self.answer)):
            count = count_words(text)
            if count < least:
                return "too_short"
            if count > most:
                return "too_long"
        return None


@pair_filters.register("copied_example")
@dataclass(frozen=True)
class CopiedExample(PairFilter):
    """Leaves out pairs that repeat an example that the writer saw (`copied_example`): its question, or most of the answer.

    Texts are compared by their runs of three words: questions by the Jaccard index, answers by the share of theirs that the example has.
    """

    question: Annotated[float, Field(gt=0, le=1, description="Jaccard index from which on a question is a copy")] = 0.8
    answer: Annotated[float, Field(gt=0, le=1, description="share of an answer's runs of words from which on it is a copy")] = 0.6

    def reasons(self, pairs: Sequence[Pair]) -> list[str | None]:
        return _each(pairs, self._reason)

    def _reason(self, pair: Pair) -> str | None:
        for example in pair.examples:
            asked, said = example.prompt[-1].content, example.response
            if jaccard(pair.question, asked) >= self.question or repeated(pair.answer, said) >= self.answer:
                return "copied_example"
        return None


@pair_filters.register("copied_passage")
@dataclass(frozen=True)
class CopiedPassage(PairFilter):
    """Leaves out questions that are a part of the passage and ask nothing (`copied_passage`): all of it stands there in a row, or it has no
    question mark and shares a run of words."""

    run: Annotated[int, Field(ge=3, description="words in a row that a text without a question mark may not share with the passage")] = 10

    def reasons(self, pairs: Sequence[Pair]) -> list[str | None]:
        return _each(pairs, self._reason)

    def _reason(self, pair: Pair) -> str | None:
        asked, passage = words(pair.question), words(pair.piece.text)
        if not asked:
            return "copied_passage"
        marked = pair.question.rstrip().endswith(("?", "？"))
        size = len(asked) if marked else min(len(asked), self.run)
        asks = marked and asked[0] in ASKING
        return "copied_passage" if not asks and ngrams(asked, size) & ngrams(passage, size) else None


ASKING_WORDS = """
what which who whom whose when where why how is are was were do does did can could should will would has have had may must
"""
ASKING = frozenset(ASKING_WORDS.split())
"""Words that a question begins with."""

POINTING = re.compile(
    r"\b(?:the|this|that|these|above|following|given|provided)\s+(?:\w+\s+)?(?:text|passage|article|paragraph|excerpt)s?\b"
    r"|\b(?:the|this)\s+(?:document|section|author|context|page|report|study|information)s?"
    r"(?:\s*[?.,]|\s+(?:say|mention|describ|stat|discuss|explain|suggest|list|provid|giv|above|about)\w*\b|\s*$)"
    r"|\baccording to (?:it|this|them|the (?:text|passage|author|article|document|information))\b"
    r"|\b(?:mentioned|described|stated|listed|provided) (?:above|here|in the)\b",
    re.IGNORECASE,
)
"""What points to a text that the reader does not have."""
GENERIC_WORDS = """
symptom sign cause treatment condition disease disorder problem patient person people company organization product type kind part way
thing factor effect result method process step example benefit risk purpose role reason difference use meaning main common report study
information found founded happen call called know known mean treat diagnose prevent affect
"""
GENERIC = frozenset(map(stem, GENERIC_WORDS.split()))
"""Stems that name nothing by themselves: whose symptoms, which company?"""
PRONOUNS = frozenset(
    ("it", "its", "itself", "they", "them", "their", "theirs", "he", "him", "his", "she", "her", "hers", "this", "these", "those")
)


@pair_filters.register("self_contained")
@dataclass(frozen=True)
class SelfContained(PairFilter):
    """Leaves out questions that cannot be answered without seeing the passage (`not_self_contained`): they point to a text, they begin with
    a pronoun for what they do not name, or they name nothing of its own that the passage speaks of."""

    def reasons(self, pairs: Sequence[Pair]) -> list[str | None]:
        return _each(pairs, self._reason)

    def _reason(self, pair: Pair) -> str | None:
        subjects = set(content_words(pair.piece.text))
        named = False
        for word in words(pair.question):
            if word in PRONOUNS and not named:
                return "not_self_contained"
            named = named or bool(subjects & set(content_words(word)) - GENERIC)
        points = POINTING.search(pair.question) or POINTING.search(pair.answer)
        return "not_self_contained" if points or not named else None


@pair_filters.register("grounded")
@dataclass(frozen=True)
class Grounded(PairFilter):
    """Leaves out answers that the passage does not support (`not_grounded`): it holds too few of their content words, or too few
    neighbours among these in the same order within a sentence; or it does not hold a number, or any negation, that they have."""

    support: Annotated[float, Field(ge=0, le=1, description="share of an answer's content words that the passage has to hold")] = 0.6
    order: Annotated[
        float, Field(ge=0, le=1, description="share of its neighbouring content words that a sentence of the passage has to hold in order")
    ] = 0.3

    def reasons(self, pairs: Sequence[Pair]) -> list[str | None]:
        return _each(pairs, self._reason)

    def _reason(self, pair: Pair) -> str | None:
        held = support(pair) >= self.support and in_order(pair) >= self.order
        new = numbers_in(pair.answer) - numbers_in(pair.piece.text)
        denies = NEGATION.search(pair.answer) and not NEGATION.search(pair.piece.text)
        return None if held and not new and not denies else "not_grounded"


@pair_filters.register("entailed")
@dataclass(frozen=True)
class Entailed(PairFilter):
    """Leaves out answers that a model of natural language inference does not find to follow from the passage (`not_entailed`)."""

    model: Annotated[str, Field(json_schema_extra=PLACE, description="model of sequence classification with a label 'entailment'")] = field(
        kw_only=True
    )
    share: Annotated[float, Field(gt=0, lt=1, description="probability of entailment that an answer needs")] = 0.5

    def check(self) -> None:
        _ = self._output

    @property
    def _output(self) -> int:
        labels = labels_of(ModelRecipe(id=self.model))
        if "entailment" not in labels:
            raise ModelError(f"filters: entailed: {self.model} has no label 'entailment' (it has {', '.join(labels)}); name another model")
        return labels["entailment"]

    def reasons(self, pairs: Sequence[Pair]) -> list[str | None]:
        output, loaded = self._output, load_model(ModelRecipe(id=self.model), labels=())
        found: list[str | None] = []
        for pair in pairs:
            asked = loaded.tokenizer(pair.piece.text, pair.answer, truncation="only_first", max_length=512, return_tensors="pt")
            with torch.inference_mode():
                shares = loaded.model(**asked.to(loaded.device)).logits[0].float().softmax(-1)
            found.append(None if float(shares[output]) >= self.share else "not_entailed")
        return found


@pair_filters.register("near_duplicates")
@dataclass(frozen=True)
class NearDuplicates(PairFilter):
    """Leaves out pairs that are like one that was kept before (`near_duplicate`): the Jaccard index of their runs of two words."""

    likeness: Annotated[float, Field(gt=0, le=1, description="Jaccard index from which on two pairs are one")] = 0.7

    def reasons(self, pairs: Sequence[Pair]) -> list[str | None]:
        found: list[str | None] = []
        kept: list[set[tuple[str, ...]]] = []
        holders: dict[tuple[str, ...], list[int]] = {}
        for pair in pairs:
            runs = ngrams(words(f"{pair.question} {pair.answer}"), 2)
            shared = Counter(number for run in runs for number in holders.get(run, ()))
            alike = any(count / (len(runs) + len(kept[number]) - count) >= self.likeness for number, count in shared.items())
            found.append("near_duplicate" if alike else None)
            if not alike:
                for run in runs:
                    holders.setdefault(run, []).append(len(kept))
                kept.append(runs)
        return found


@pair_filters.register("reward")
@dataclass(frozen=True)
class RewardFloor(PairFilter):
    """Leaves out pairs that a reward model scores below a floor (`low_reward`)."""

    model: Annotated[str, Field(json_schema_extra=PLACE, description="hub id or folder of the reward model")] = field(kw_only=True)
    floor: Annotated[float, Field(description="the lowest score that a pair may have")] = 0.0

    def check(self) -> None:
        if (outputs := len(labels_of(ModelRecipe(id=self.model)))) != 1:
            raise ModelError(f"filters: reward: {self.model} has {outputs} outputs; a reward model has one, the score; name another model")

    def reasons(self, pairs: Sequence[Pair]) -> list[str | None]:
        verdicts = Reward(model=self.model).judge([(pair.question, pair.answer) for pair in pairs])
        return [None if verdict.score is not None and verdict.score >= self.floor else "low_reward" for verdict in verdicts]


@pair_filters.register("personal_data")
@dataclass(frozen=True)
class PersonalData(PairFilter):
    """Leaves out pairs with personal data in the question or the answer (`personal_data`). A placeholder of the step scrub is none."""

    kinds: Annotated[list[str], Field(description=f"what is looked for, of {', '.join(KINDS)}")] = field(
        default_factory=lambda: list(DEFAULT_KINDS)
    )
    score: Annotated[float, Field(ge=0, le=1, description="the least confidence")] = SCORE
    keep: Annotated[list[str], Field(description="what is no personal data where it is all of what was found, in whatever case")] = field(
        default_factory=list
    )
    patterns: Annotated[dict[str, str], Field(description="kinds of your own: NAME -> regular expression")] = field(default_factory=dict)

    def __post_init__(self) -> None:
        _ = self._search

    def check(self) -> None:
        require_search()

    def reasons(self, pairs: Sequence[Pair]) -> list[str | None]:
        found = found_in([text for pair in pairs for text in (pair.question, pair.answer)], self._search)
        return ["personal_data" if found[2 * place] or found[2 * place + 1] else None for place in range(len(pairs))]

    @property
    def _search(self) -> Search:
        return search_of("filters: personal_data", self.kinds, self.score, self.keep, self.patterns)


DEFAULT: tuple[Mapping[str, Any], ...] = tuple(
    {"kind": kind} for kind in ("lengths", "copied_example", "copied_passage", "self_contained", "grounded", "near_duplicates")
)
"""The chain of a recipe that names none."""


def supported(pair: Pair) -> list[str]:
    """The content words of the answer that the passage holds."""
    held = set(content_words(pair.piece.text))
    return [word for word in content_words(pair.answer) if word in held]


def support(pair: Pair) -> float:
    """The share of the answer's content words that the passage holds, 0 to 1; 0 for an answer without any."""
    said = content_words(pair.answer)
    return len(supported(pair)) / len(said) if said else 0.0


def in_order(pair: Pair) -> float:
    """The share of the answer's neighbouring content words (a, b) for which a sentence of the passage has a before b; 1 without any."""
    said = content_words(pair.answer)
    follows: set[tuple[str, str]] = set()
    for sentence in SENTENCE.split(pair.piece.text):
        found = content_words(sentence)
        follows.update((first, later) for place, first in enumerate(found) for later in found[place + 1 :])
    neighbours = list(pairwise(said))
    return sum(one in follows for one in neighbours) / len(neighbours) if neighbours else 1.0


def jaccard(first: str, second: str, size: int = 3) -> float:
    """The runs of `size` words that two texts share, of all that they have."""
    a, b = ngrams(words(first), size), ngrams(words(second), size)
    return len(a & b) / len(a | b) if a or b else 0.0


def repeated(own: str, shown: str, size: int = 3) -> float:
    """The share of the runs of `size` words of `own` that stand in `shown`."""
    runs = ngrams(words(own), size)
    return len(runs & ngrams(words(shown), size)) / len(runs) if runs else 0.0
