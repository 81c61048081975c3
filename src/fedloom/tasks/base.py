"""What a task is: how examples become rows, what loss a batch of rows has, and what is measured on rows that were held out.

Tasks know nothing of rounds or of the wire. A registered task is a dataclass: its fields are its settings in a recipe.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal, Protocol

from pydantic import Field
from torch import Tensor, nn

from fedloom.data.records import Conversation
from fedloom.registry import Registry


class Rows(Protocol):
    """Encoded examples."""

    @property
    def truncated(self) -> int:
        """Rows that were cut to the greatest length."""
        ...

    def __len__(self) -> int: ...


@dataclass(frozen=True)
class LossPart:
    """A part of a batch's loss, small enough for memory. The parts of a batch add up to its mean loss; `tokens` is what was computed."""

    loss: Tensor
    tokens: int


@dataclass(frozen=True)
class Measures:
    """Sums over held-out rows, so that clients can be pooled: `loss` over `tokens`, `exact` of `rows`.

    `tokens` is what the loss is a mean over: trained tokens of SFT; pairs of DPO and ORPO, answers of KTO, rows of classify. `exact`
    counts rows that are right: every token of the answer (SFT), the preferred answer ahead of the rejected one (DPO: a reward margin above
    zero), good and bad answers on their sides (KTO), the likeliest label (classify, classify_head).
    """

    loss: float
    tokens: int
    exact: int
    rows: int


@dataclass(frozen=True)
class Task:
    """The settings that all tasks share."""

    has_majority: ClassVar[bool] = True
    """Whether always giving the most common response is something to compare with."""

    batch_size: Annotated[int, Field(ge=1, description="rows per optimiser step and accumulation")] = 8
    accumulation: Annotated[int, Field(ge=1, description="batches whose gradients are added up for one optimiser step")] = 1
    steps: Annotated[int, Field(ge=1, description="optimiser steps of a client in a round")] = 10
    learning_rate: Annotated[float, Field(gt=0, description="learning rate of the first round")] = 2e-4
    min_learning_rate: Annotated[float, Field(ge=0, description="learning rate that the schedule ends at")] = 1e-6
    schedule: Annotated[
        Literal["cosine_over_rounds", "constant"],
        Field(description="cosine_over_rounds: constant within a round, a cosine from learning_rate to min_learning_rate over the rounds"),
    ] = "cosine_over_rounds"
    max_grad_norm: Annotated[float, Field(gt=0, description="gradients are scaled down to this Euclidean norm")] = 1.0
    weight_decay: Annotated[float, Field(ge=0, description="weight decay, decoupled from the gradient")] = 0.0
    optimizer: Annotated[
        Literal["adamw", "sgd"],
        Field(description="adamw; or sgd, plain and without momentum, which textbook SCAFFOLD, FedNova and FedDyn are derived for"),
    ] = "adamw"
    keep_optimizer: Annotated[
        bool, Field(description="a client keeps Adam's moments from the last round it took part in; false: it begins afresh in every round")
    ] = False

    @property
    def head(self) -> tuple[str, ...] | None:
        """The labels of a classification head that the model gets in place of its vocabulary; None: it stays a language model."""
        return None

    def encode(self, examples: Sequence[Conversation], tokenizer: Any, template: str, max_length: int, cache: Path) -> Path:
        """The file in `cache` with the rows of `examples`, made when it is not there yet."""
        raise NotImplementedError

    def load(self, path: Path) -> Rows:
        """The rows that `encode` wrote."""
        raise NotImplementedError

    def trainable(self, rows: Rows) -> bool:
        """Whether there is anything in `rows` to train on."""
        return len(rows) > 0

    def losses(self, model: nn.Module, rows: Rows, indices: Sequence[int]) -> Iterator[LossPart]:
        """The loss of the batch `indices`, in parts. Each part is backpropagated before the next is computed."""
        raise NotImplementedError

    def evaluate(self, model: nn.Module, rows: Rows, groups: Sequence[int], batch_size: int) -> Measures:
        """Measure `rows`. Rows with the same number in `groups` are one example with several right answers, the first the reference."""
        raise NotImplementedError


tasks: Registry[type[Task]] = Registry("task")
