"""Where the gradients of local training come from. The training loop asks for them and does not know how they are made.

`PlainGradients` are those of the mean loss of each batch. `fedloom.privacy.gradients` has the private ones.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar, Protocol

import torch
from torch import nn

from fedloom.data.generated_rows import MIX, Order, parts_in
from fedloom.models.flat import FlatParameters
from fedloom.tasks.base import Rows, Task

Step = Sequence[Sequence[int]]
"""Row numbers of one optimiser step: a batch per accumulation."""


class Gradients(Protocol):
    clips_rows: ClassVar[bool]
    """Whether the gradient of every row is bounded by itself, so that the gradient of a step is left as it is."""

    def add(self, model: nn.Module, parameters: FlatParameters, task: Task, rows: Rows, step: Step) -> tuple[float, int]:
        """Add the gradient of `step` to `parameters.gradient`, which is zero; gives the mean loss and the tokens that were computed."""
        ...


class PlainGradients:
    """Gradients of the mean loss over the batches of a step."""

    clips_rows: ClassVar[bool] = False

    def draw(self, rows: int, task: Task, stream: torch.Generator, order: Order = MIX, generated: int = 0) -> list[list[list[int]]]:
        """steps x accumulation x batch_size: rows drawn without replacement; a client with fewer rows loops over them.

        In an `order` other than mix, the last `generated` rows and the others follow one another: each kind gets as much of the round as
        it is of the rows.
        """
        wanted = task.batch_size * task.accumulation * task.steps_for(rows)
        drawn: list[int] = []
        done = 0
        for part in parts_in(order, rows, generated):
            done += len(part)
            drawn += _looped(part, round(wanted * done / rows) - len(drawn), stream)
        batches = [drawn[i : i + task.batch_size] for i in range(0, wanted, task.batch_size)]
        return [batches[i : i + task.accumulation] for i in range(0, len(batches), task.accumulation)]

    def add(self, model: nn.Module, parameters: FlatParameters, task: Task, rows: Rows, step: Step) -> tuple[float, int]:
        loss, tokens = 0.0, 0
        for batch in step:
            for part in task.losses(model, rows, batch):
                (part.loss / len(step)).backward()
                parameters.gather()
                loss, tokens = loss + float(part.loss.detach()) / len(step), tokens + part.tokens
        return loss, tokens


def _looped(part: range, wanted: int, stream: torch.Generator) -> list[int]:
    """`wanted` of the rows of `part` in a drawn order, again from the first when there are no more."""
    drawn = torch.randperm(len(part), generator=stream)[: min(wanted, len(part))].tolist()
    return [part[drawn[i % len(drawn)]] for i in range(wanted)]
