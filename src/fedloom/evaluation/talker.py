"""A talker: a language model that is evaluated, as suites know it."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from fedloom.data.records import Provenance, Turn
from fedloom.data.templates import VERSION, Rendered, render_prompt
from fedloom.evaluation.kept_replies import KeptReplies
from fedloom.models.generate import continuations
from fedloom.recipe import ModelRecipe

FOLDER = "answers"
"""In the cache. A model can say rows that it was trained on, so that only the user can read what is there."""

Progress = Callable[[int, int], None]
"""Told how many of how many are done."""


def silent(done: int, total: int) -> None:
    """Tells nobody."""


def identity_of(base: str, trained: str, model: ModelRecipe) -> str:
    """What decides a model's answers beside the question: the hashes of its base and of what was trained on it, none for the base itself,
    and the precision that it computes in."""
    return hashlib.sha256(f"{base} {trained} {model.dtype} {model.quantization}".encode()).hexdigest()


@dataclass(frozen=True)
class Talker:
    """A model with its tokenizer and the template by which a conversation becomes text, the same as in training.

    `identity` is the hash of its weights: what its answers are known by. `says` is the provenance of its answers: PUBLIC where all text
    that it was trained on is, DP_RELEASED where that was protected by formal privacy, else PRIVATE, since it could say text of such a row.
    """

    model: Any
    tokenizer: Any
    template: str
    identity: str
    batch_size: int = 16
    says: Provenance = Provenance.PRIVATE

    def answers(
        self, asked: Sequence[Sequence[Turn]], max_new_tokens: int, stop: Sequence[str] = (), progress: Progress = silent
    ) -> list[str]:
        """The greedy answer to each of the conversations `asked`. Those that are on disk are not written again."""
        texts = [render_prompt(turns, self.tokenizer, self.template) for turns in asked]
        return self.continued(texts, max_new_tokens, stop, progress)

    def continued(
        self, texts: Sequence[str | Rendered], max_new_tokens: int, stop: Sequence[str] = (), progress: Progress = silent
    ) -> list[str]:
        """What the model greedily writes after each text, which has its special tokens in it unless it is rendered."""
        kept = KeptReplies(FOLDER, f"{self.identity} {VERSION}")
        keys = [[text if isinstance(text, str) else [text.text, *map(list, text.responses)], max_new_tokens, list(stop)] for text in texts]
        said = {place: known for place, key in enumerate(keys) if (known := kept.get(key)) is not None}
        progress(len(said), len(texts))
        written = continuations(self.model, self.tokenizer, texts, max_new_tokens, self.batch_size, stop=stop, skip=frozenset(said))
        for place, reply in written:
            if place not in said:
                said[place] = reply.text
                kept.keep(keys[place], reply.text)
            progress(len(said), len(texts))
        return [said[place] for place in range(len(texts))]
