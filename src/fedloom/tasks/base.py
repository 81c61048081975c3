"""What a task is: how records become rows, what loss a batch of rows has, and what is measured on rows that were held out.

Tasks know nothing of rounds or of the wire. A registered task is a dataclass: its fields are its settings in a recipe.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal, Protocol

from pydantic import Field
from torch import Tensor, nn

from fedloom.errors import RecipeError
from fedloom.measures import Measure
from fedloom.registry import Registry

Sums = dict[str, float]
"""Additive sums over held-out rows: those of several clients are added up key by key."""

LARGEST_LOSS = 1e6
"""The mean loss, in nats, above which a report is not believed."""

LOSS = Measure("loss", "held-out loss", "nats", note="The loss is measured on the reference answers.")


class Rows(Protocol):
    """Encoded records."""

    @property
    def truncated(self) -> int:
        """Rows that were cut to the greatest length."""
        ...

    def __len__(self) -> int: ...


@dataclass(frozen=True)
class LossPart:
    """A part of a batch's loss, small enough for memory.

    The losses of all parts of a batch add up to the batch's mean loss. `tokens` is the number of tokens (or pictures) that were computed.
    `each()` gives the loss of every row of the part by itself, (rows,): what is clipped row by row. It must be called before the part is
    backpropagated. `rows` are their numbers, in the same order; empty: not told.
    """

    loss: Tensor
    tokens: int
    each: Callable[[], Tensor]
    rows: Sequence[int] = ()


@dataclass(frozen=True)
class Task:
    """The settings that all tasks share."""

    record: ClassVar[str] = "conversation"
    """The kind of record that the task takes."""

    model_kind: ClassVar[str] = "causal_lm"
    """The kind of model that it trains."""

    measures: ClassVar[tuple[Measure, ...]] = (LOSS,)
    """What `values` gives, in the order in which it is shown."""

    couples_rows: ClassVar[bool] = False
    """Whether the loss of a row depends on the other rows of its batch: such a loss cannot be clipped row by row."""

    why_untrainable: ClassVar[str] = (
        "has no response tokens to train on: every row is cut before its response begins; raise data.max_length, or shorten the prompts"
    )
    """What is said of a client whose rows hold nothing to train on."""

    majority_measure: ClassVar[str | None] = None
    """The measure that always giving a client's most common answer compares with; None: there is nothing to compare."""

    batch_size: Annotated[int, Field(ge=1, le=1_000_000, description="rows per optimiser step and accumulation")] = 8
    accumulation: Annotated[int, Field(ge=1, description="batches whose gradients are added up for one optimiser step")] = 1
    steps: Annotated[int, Field(ge=1, description="optimiser steps of a client in a round")] = 10
    passes: Annotated[
        float | None,
        Field(
            gt=0, description="passes over a client's rows in the whole run, in place of steps: a client with more rows takes more steps"
        ),
    ] = None
    participations: Annotated[
        float | None,
        Field(gt=0, description="with passes: rounds that a client takes part in; null: federation.rounds x clients drawn / clients"),
    ] = None
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

    def __post_init__(self) -> None:
        if self.participations is not None and self.passes is None:
            raise RecipeError("task.participations: belongs to passes; set task.passes too, or leave it out")

    @property
    def labels_of_head(self) -> tuple[str, ...] | None:
        """The labels that the model scores by a head of its own; None: it has no such head."""
        return None

    def steps_for(self, rows: int) -> int:
        """Optimiser steps in a round of a client with `rows` rows: `steps`, or with `passes` P

        K_i = ceil(P n_i / (T S/N) / (B G)) (FedLLM-Bench, arXiv 2406.04845), n_i the rows, T S/N the `participations`, B the batch size and
        G the accumulation; at least one.
        """
        if self.passes is None:
            return self.steps
        steps = self.passes * rows / (self.participations or 1) / (self.batch_size * self.accumulation)
        return max(1, math.ceil(steps - 1e-9))  # T S/N is rounded: 3 passes that are exactly 15 steps may come out as 15.000000000000002

    def encode(self, records: Sequence[Any], encoder: Any, cache: Path) -> Path:
        """The file in `cache` with the rows of `records`, made by the model's `encoder` when it is not there yet."""
        raise NotImplementedError

    def load(self, path: Path) -> Rows:
        """The rows that `encode` wrote."""
        raise NotImplementedError

    def learnable(self, rows: Rows) -> Sequence[bool]:
        """For every row, whether there is something in it to train on and to measure: other rows are left out."""
        return [True] * len(rows)

    def labels_of(self, rows: Rows) -> Sequence[int]:
        """The number of every row's label; of a task that does not classify, 0."""
        return [0] * len(rows)

    def losses(self, model: nn.Module, rows: Rows, indices: Sequence[int]) -> Iterator[LossPart]:
        """The loss of the batch `indices`, in parts. Each part is backpropagated before the next is computed."""
        raise NotImplementedError

    @property
    def sum_names(self) -> tuple[str, ...]:
        """The keys of the sums that `evaluate` gives. A report with other keys is refused."""
        return ("loss", "terms", "rows")

    def evaluate(self, model: nn.Module, rows: Rows, groups: Sequence[int], batch_size: int) -> Sums:
        """Sums over `rows`, none of them negative: `loss` over its `terms` (tokens, pairs, rows), `rows`, and what else the task counts.

        Rows with the same number in `groups` are one record with several right answers, the first the reference.
        """
        raise NotImplementedError

    def values(self, sums: Mapping[str, float]) -> dict[str, float]:
        """The value of every declared measure, from the sums of one client or of all together. `sums` hold at least one row."""
        return {"loss": self.mean_loss(sums)}

    def plausible(self, sums: Mapping[str, float]) -> bool:
        """Whether rows can have these sums: a whole number of rows, no count above it, and no loss that a model cannot have.

        Overridden for sums of another kind.
        """
        counts = [value for name, value in sums.items() if name not in ("loss", "terms")]
        possible = sums["loss"] <= LARGEST_LOSS * sums["terms"]
        return possible and float(sums["rows"]).is_integer() and all(value <= sums["rows"] for value in counts)

    def mean_loss(self, sums: Mapping[str, float]) -> float:
        """The mean loss, which some algorithms weigh clients by."""
        return sums["loss"] / max(sums["terms"], 1)

    def no_sums(self) -> Sums:
        """The sums of no row."""
        return dict.fromkeys(self.sum_names, 0.0)


tasks: Registry[type[Task]] = Registry("task", Task)
