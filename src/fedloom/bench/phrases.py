"""Questions and answers made of templates, in eight languages: the answer follows from the question, and each is as long as is asked."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache, lru_cache
from pathlib import Path
from typing import Any

import yaml

from fedloom.bench.lengths import BYTES_PER_TOKEN

PHRASES = Path(__file__).with_name("phrases.yaml")
SPACELESS = {"zh"}
"""Languages without spaces between words."""

BLOCK = 4096
"""Bytes of filling text that are made at once."""


@dataclass(frozen=True)
class Fact:
    """What holds in a language: `thing` has `value`, and `wrong` is that of another thing. `says` answers each of the questions `asks`."""

    language: str
    topic: str
    asks: tuple[str, ...]
    says: str
    thing: str
    value: str
    wrong: str

    def question(self, phrasing: int, tokens: float = 0.0) -> str:
        """The question, in one of its phrasings, with sentences around it up to a length of about `tokens`."""
        filling = _filling(self.language, "context", phrasing, self.thing, self.value)
        return _lengthened(self.asks[phrasing % len(self.asks)].format(thing=self.thing), filling, tokens, self.language)

    def answer(self, phrasing: int, tokens: float = 0.0, right: bool = True) -> str:
        """The answer, or a wrong one, with sentences behind it up to a length of about `tokens`."""
        value = self.value if right else self.wrong
        filling = _filling(self.language, "more", phrasing, self.thing, value)
        return _lengthened(self.says.format(thing=self.thing, value=value), filling, tokens, self.language)


@cache
def topics_of(language: str) -> Sequence[Sequence[Fact]]:
    """The facts of every topic that `language` has."""
    return [_facts(language, name, topic) for name, topic in _phrases()[language]["topics"].items()]


def _facts(language: str, name: str, topic: Mapping[str, Any]) -> list[Fact]:
    facts = list(topic["facts"].items())
    others = [*facts[1:], facts[0]]
    return [
        Fact(language, name, tuple(topic["asks"]), topic["says"], thing, value, wrong)
        for (thing, value), (_, wrong) in zip(facts, others, strict=True)
    ]


@cache
def _phrases() -> Mapping[str, Any]:
    found: Mapping[str, Any] = yaml.safe_load(PHRASES.read_text(encoding="utf-8"))
    return found


@lru_cache(maxsize=4096)
def _filling(language: str, kind: str, first: int, thing: str, value: str) -> bytes:
    """`BLOCK` bytes or more of sentences about a fact, from the sentence number `first` on, each with a space before it."""
    sentences = _phrases()[language][kind]
    turned = [sentences[(first + place) % len(sentences)].format(thing=thing, value=value) for place in range(len(sentences))]
    once = "".join(sentence if language in SPACELESS else f" {sentence}" for sentence in turned).encode()
    return once * (BLOCK // len(once) + 1)


def _lengthened(text: str, filling: bytes, tokens: float, language: str) -> str:
    """`text` with as much of `filling`, again and again, as makes it about `tokens` long. It is cut between two words."""
    missing = round(tokens * BYTES_PER_TOKEN) - len(text.encode())
    if missing <= 0:
        return text
    endless = filling * (missing // len(filling) + 2)
    if language in SPACELESS:
        return text + endless[:missing].decode(errors="ignore")
    before, after = endless.rfind(b" ", 0, missing + 1), endless.find(b" ", missing)
    return text + endless[: before if missing - before <= after - missing else after].decode()
