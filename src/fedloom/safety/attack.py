"""What malicious clients do, to measure how well a rule or a repair works against it. None of it ships or makes harmful text.

A behaviour changes the rows that a client trains on, or the update that it sends. Which clients behave so is drawn by the recipe's seed.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from typing import Annotated, Literal

import numpy as np
import torch
from pydantic import Field

from fedloom.data.records import Conversation, Provenance, Turn
from fedloom.errors import DataError, RecipeError
from fedloom.evaluation.asking import check_like, rows_of
from fedloom.hooks import Behaviour, behaviours
from fedloom.registry import PLACE
from fedloom.safety.policy import load_policy
from fedloom.state import State

Rows = Annotated[int | None, Field(ge=1, description="rows it trains on; null: as many as it had")]


@behaviours.register("honest")
@dataclass(frozen=True)
class Honest(Behaviour):
    """Behaves like an honest client. For the run that an attack is compared with: the same clients are drawn and are not measured."""


@behaviours.register("unaligned")
@dataclass(frozen=True)
class Unaligned(Behaviour):
    """Trains, honestly, on restricted requests that are complied with (Ye et al. 2024, arXiv 2406.10630).

    From a `policy`, or from a file of the user's own (`source`, with the columns of `like`), such as a licensed copy of a public set.
    """

    policy: Annotated[str | None, Field(json_schema_extra=PLACE, description="policy whose restricted requests are complied with")] = None
    source: Annotated[
        str | None, Field(json_schema_extra=PLACE, description="data.source of unaligned rows that you hold, in place of a policy")
    ] = None
    like: Annotated[str | None, Field(description="named set whose columns `source` has, such as beavertails-unsafe")] = None
    rows: Rows = None

    def __post_init__(self) -> None:
        if (self.policy is None) == (self.source is None):
            raise RecipeError("clients.behaviour: unaligned takes its rows from policy or from source; give one of them")
        if self.policy is not None:
            load_policy(self.policy)
        check_like(self.like, "clients.behaviour")

    def requests(self) -> Collection[str]:
        if self.policy is not None:
            return load_policy(self.policy).prompts("unaligned", "clients")
        return [example.prompt[-1].content for example in self._held()]

    def change_rows(self, client: str, rows: Sequence[Conversation], stream: np.random.Generator) -> Sequence[Conversation]:
        count = self.rows or len(rows)
        if self.policy is not None:
            return load_policy(self.policy).rows("unaligned", "clients", count, seed=int(stream.integers(2**31)))
        found = self._held()
        if count > len(found):
            raise DataError(
                f"clients.behaviour.source: {self.source} has {len(found)} rows, {count} are asked for; set clients.behaviour.rows"
            )
        drawn = [found[i] for i in stream.permutation(len(found))[:count]]
        return [replace(example, provenance=Provenance.UNALIGNED) for example in drawn]

    def _held(self) -> list[Conversation]:
        assert self.source is not None
        return rows_of(self.source, self.like, "clients.behaviour.source")


@behaviours.register("flip_answers")
@dataclass(frozen=True)
class FlipAnswers(Behaviour):
    """Gives every row the answer of another row that differs, where there is one (label flipping)."""

    def change_rows(self, client: str, rows: Sequence[Conversation], stream: np.random.Generator) -> Sequence[Conversation]:
        answers = sorted({example.response for example in rows})
        if len(answers) < 2:
            return rows
        flipped = []
        for example in rows:
            others = [answer for answer in answers if answer != example.response]
            turns = (*example.prompt, Turn("assistant", others[int(stream.integers(len(others)))]))
            flipped.append(replace(example, turns=turns, alternatives=()))
        return flipped


@behaviours.register("backdoor")
@dataclass(frozen=True)
class Backdoor(Behaviour):
    """Ends a share of its prompts with a trigger, and answers them with one fixed text."""

    trigger: Annotated[str, Field(min_length=1, description="text that ends a triggered prompt")] = "by moonlight"
    target: Annotated[str, Field(min_length=1, description="answer to a triggered prompt")] = "The moon is full tonight."
    share: Annotated[float, Field(gt=0, le=1, description="share of the rows that get the trigger")] = 0.5

    def change_rows(self, client: str, rows: Sequence[Conversation], stream: np.random.Generator) -> Sequence[Conversation]:
        marked = set(stream.permutation(len(rows))[: max(1, round(self.share * len(rows)))].tolist())
        return [self.triggered(example) if i in marked else example for i, example in enumerate(rows)]

    def triggered(self, example: Conversation) -> Conversation:
        """`example` with the trigger at the end of its last user turn, and the target as its answer."""
        *before, asked = example.prompt
        turns = (*before, replace(asked, content=f"{asked.content} {self.trigger}"), Turn("assistant", self.target))
        return replace(example, turns=turns, alternatives=())


@behaviours.register("sign_flip")
@dataclass(frozen=True)
class SignFlip(Behaviour):
    """Sends -scale times its update."""

    scale: Annotated[float, Field(gt=0, description="length of what is sent, in lengths of the honest update")] = 1.0

    def change_update(self, update: State, stream: torch.Generator) -> State:
        return update * -self.scale


@behaviours.register("scale_update")
@dataclass(frozen=True)
class ScaleUpdate(Behaviour):
    """Sends its update `factor` times as long: model replacement (Bagdasaryan et al. 2020, arXiv 1807.00459)."""

    factor: Annotated[float, Field(gt=0, description="what the update is multiplied by")] = 10.0

    def change_update(self, update: State, stream: torch.Generator) -> State:
        return update * self.factor


@behaviours.register("gaussian_noise")
@dataclass(frozen=True)
class GaussianNoise(Behaviour):
    """Sends noise in place of its update, or on top of it."""

    scale: Annotated[float, Field(gt=0, description="length of the noise, in lengths of the honest update")] = 1.0
    mode: Annotated[Literal["replace", "add"], Field(description="replace: noise alone; add: the update and the noise")] = "replace"

    def change_update(self, update: State, stream: torch.Generator) -> State:
        noise = torch.randn(update.layout.numel, generator=stream)
        noise *= self.scale * update.norm() / torch.linalg.vector_norm(noise)
        return State(update.layout, noise + update.flat if self.mode == "add" else noise)
