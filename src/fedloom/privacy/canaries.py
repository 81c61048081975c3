"""Canaries: made-up rows with random secrets, a half of which are trained on, so that an audit can measure what the model kept of them.

They follow from the recipe's seed, the client's name and the settings alone. Whoever has the recipe can make them again, and knows by whose
coin each was inserted; nothing of them is private.
"""

from __future__ import annotations

import string
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar

import numpy as np
from pydantic import Field
from torch import Tensor

from fedloom.data.record_sequence import kind_of_records
from fedloom.data.records import Conversation, Provenance, Record, Turn
from fedloom.errors import DataError, RecipeError
from fedloom.files import cache_folder
from fedloom.hooks import PrepareContext, Prepared, PrepareStep, ServerSide, prepare_steps, step_stream
from fedloom.models.bench import Bench
from fedloom.models.encoders import Encoder
from fedloom.recipe import Recipe
from fedloom.tasks import Rows, Task, tasks
from fedloom.tasks.row_losses import row_losses
from fedloom.tasks.sft import SFT

KIND = "canaries"
CONSONANTS, VOWELS = "bdfghjklmnprstvz", "aeiou"
SYLLABLES = 4
"""Of a canary's name: no name comes twice but by a rare chance."""
LETTERS, LENGTH = string.ascii_letters + string.digits, 10
"""What a secret is drawn from, and its length. Letters of both cases and digits set the gradients of two secrets apart: of SmolLM2 their
cosine is 0.28, and that of two numbers 0.75, which hide in each other."""


@dataclass(frozen=True)
class Canary:
    """A question about a made-up name whose answer, random letters and digits, is the secret. `inserted`: it is trained on."""

    question: str
    secret: str
    inserted: bool

    @property
    def record(self) -> Conversation:
        return Conversation((Turn("user", self.question), Turn("assistant", self.secret)), Provenance.PUBLIC)


@prepare_steps.register(KIND)
@dataclass(frozen=True)
class Canaries(PrepareStep):
    """Adds made-up rows with random secrets to a client's rows, each by a fair coin of its own, for `fedloom audit privacy`.

    One-run auditing (Steinke, Nasr and Jagielski 2023, arXiv 2305.08846) and exposure (Carlini et al. 2019, arXiv 1802.08232). Nothing is
    added to held-out rows.
    """

    row_by_row: ClassVar[bool] = True

    count: Annotated[
        int, Field(ge=20, le=100_000, description="canaries of a client, half of which are inserted; 500 can show an epsilon of 4.6")
    ] = 500

    def check(self, server: ServerSide) -> None:
        kind, task = server.recipe.task.kind, tasks.get(server.recipe.task.kind)
        if not issubclass(task, SFT):
            raise RecipeError(f"prepare: canaries are questions with an answer of their own, which {kind} does not train; use sft")
        if [step.kind for step in server.recipe.prepare].index(KIND) < len(server.recipe.prepare) - 1:
            raise RecipeError("prepare: canaries should be the last step, and there once, so that no other step changes them")
        encoded([_made(np.random.default_rng(0))], task(**server.recipe.task.settings), server.bench.encoder)

    def made(self, stream: np.random.Generator) -> list[Canary]:
        """The canaries that `stream` gives, inserted or not."""
        return [_made(stream) for _ in range(self.count)]

    def apply(self, context: PrepareContext) -> Prepared:
        if (kind := kind_of_records(context.records)) != Conversation.kind:
            raise DataError(f"prepare: canaries are conversations, and the rows are {kind}s; put a step before that makes conversations")
        if context.held_out:
            return Prepared(context.records)
        return Prepared([*context.records, *(canary.record for canary in self.made(context.stream) if canary.inserted)])


def canaries_of(recipe: Recipe, client: str) -> list[Canary]:
    """The canaries of `client`, as its step has made them; none where the recipe has no such step."""
    for number, step in enumerate(recipe.prepare):
        if step.kind == KIND:
            return Canaries(**step.settings).made(step_stream(recipe.seed, number, client))
    return []


def losses(canaries: Sequence[Canary], bench: Bench, task: Task) -> Tensor:
    """The mean loss of every canary's secret, (m,) in nats a token, with what is on the bench."""
    return row_losses(bench.model, task, encoded(canaries, task, bench.encoder))


def encoded(canaries: Sequence[Canary], task: Task, encoder: Encoder) -> Rows:
    """The canaries as rows. Raises RecipeError where they are cut."""
    rows = task.load(task.encode([canary.record for canary in canaries], encoder, cache_folder() / "rows"))
    if rows.truncated:
        raise RecipeError("data.max_length: cuts the secrets of the prepare step canaries off; raise it")
    return rows


def without(records: Sequence[Record], canaries: Sequence[Canary]) -> list[Any]:
    """`records` that are no canaries."""
    made = {canary.question for canary in canaries}
    return [record for record in records if not (isinstance(record, Conversation) and record.turns[0].content in made)]


def _made(stream: np.random.Generator) -> Canary:
    letters = [(CONSONANTS[int(stream.integers(len(CONSONANTS)))], VOWELS[int(stream.integers(len(VOWELS)))]) for _ in range(SYLLABLES)]
    name = "".join(map("".join, letters)).capitalize()
    secret = "".join(LETTERS[place] for place in stream.integers(len(LETTERS), size=LENGTH).tolist())
    return Canary(f"What is the code of {name}?", secret, bool(stream.integers(2)))
