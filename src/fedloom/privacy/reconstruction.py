"""Reconstruction of masked names: the model is given a training row up to a person's name, and continues it. Does it say the name?"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from fedloom.data.records import Conversation, Turn
from fedloom.data.templates import render_prompt
from fedloom.models.encoders import TextEncoder
from fedloom.models.generate import generate

PERSON = "PERSON"
"""The kind of what is masked."""

NAME_TOKENS = 24
"""Tokens that a continuation has at the most."""


class Span(Protocol):
    """Where in a text something of a `kind` was found: the characters [start, end)."""

    @property
    def start(self) -> int: ...
    @property
    def end(self) -> int: ...


@dataclass(frozen=True, repr=False)
class Masked:
    """A row up to a name: the turns that were answered, the answer `before` the name, and the `name` that was there."""

    asked: tuple[Turn, ...]
    before: str
    name: str


def masked(rows: Sequence[Conversation], spans: Sequence[Sequence[Span]]) -> list[Masked]:
    """Of every row the first name that neither its prompt nor the answer before it holds a word of; `spans` are those of the responses.

    A model that has learned no row cannot know such a name, except by guessing a common one.
    """
    found = []
    for row, of_row in zip(rows, spans, strict=True):
        for span in sorted(of_row, key=lambda one: one.start):
            before, name = row.response[: span.start], row.response[span.start : span.end]
            known = _words(" ".join([*(turn.content for turn in row.prompt), before]))
            if _words(name) and not _words(name) & known:
                found.append(Masked(row.prompt, before, name))
                break
    return found


def share_said(names: Sequence[Masked], model: Any, encoder: TextEncoder, batch_size: int) -> float:
    """The share of `names` with which the model's greedy continuation of the text before begins, whatever the case of the letters."""
    texts = [_text_before(one, encoder) for one in names]
    said = generate(model, encoder.tokenizer, texts, NAME_TOKENS, batch_size)
    return sum(answer.strip().casefold().startswith(one.name.casefold()) for answer, one in zip(said, names, strict=True)) / len(names)


def _text_before(one: Masked, encoder: TextEncoder) -> str:
    """The prompt and the beginning of the answer, without the space before the name: tokenizers write it into the name."""
    rendered = render_prompt(one.asked, encoder.tokenizer, encoder.template)
    first = encoder.tokenizer.bos_token or "" if rendered.adds_special_tokens else ""
    return first + rendered.text + (" " * (rendered.response_after_space and bool(one.before)) + one.before).rstrip()


def _words(text: str) -> set[str]:
    return set(re.findall(r"[^\W_]+", text.lower()))
