"""Local training: a short loop over PyTorch. One client, one round."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor, nn

from fedloom.errors import FedloomError
from fedloom.models.flat import FlatParameters
from fedloom.tasks.base import Rows, Task
from fedloom.tasks.gradients import Gradients, PlainGradients, Step
from fedloom.tasks.optimizers import make_optimizer, moments_of

PLAIN = PlainGradients()


class StepHooks(Protocol):
    """What an algorithm does inside local training; both vectors may be changed in place."""

    def after_gradient(self, weights: Tensor, gradient: Tensor) -> None: ...

    def after_step(self, weights: Tensor, learning_rate: float) -> None: ...


@dataclass(frozen=True)
class Trained:
    """What a client can say of its training: mean loss over the steps, loss of the first step, counts, seconds.

    `moments` are what the optimiser can go on from; they stay with the client.
    """

    loss: float
    first_loss: float
    steps: int
    tokens: int
    seconds: float
    moments: Mapping[str, Tensor]


def train(
    model: nn.Module,
    parameters: FlatParameters,
    task: Task,
    rows: Rows,
    steps: Sequence[Step],
    learning_rate: float,
    hooks: StepHooks,
    seed: int,
    late: Callable[[], bool] = lambda: False,
    moments: Mapping[str, Tensor] | None = None,
    gradients: Gradients = PLAIN,
) -> Trained:
    """Take the optimiser's `steps` of the task, each on the row numbers that `gradients` drew for it, from what `parameters` hold.

    The optimiser goes on from `moments`, those of an earlier `Trained`, or begins afresh. `seed` is for dropout. Raises FedloomError when
    `late()` says so between two steps, or when a loss is not finite.
    """
    weights = nn.Parameter(parameters.weights[: parameters.trained])
    weights.grad = gradient = parameters.gradient[: parameters.trained]
    optimizer = make_optimizer(task, weights, learning_rate, moments)
    losses: list[float] = []
    tokens, begin = 0, time.perf_counter()
    model.train()
    try:
        devices = [weights.device] if weights.device.type == "cuda" else []
        with torch.random.fork_rng(devices=devices):
            torch.manual_seed(seed)
            for step in steps:
                if late():
                    raise FedloomError(f"late: {len(losses)} of {len(steps)} steps were done at the deadline")
                parameters.zero_gradient()
                loss, computed = gradients.add(model, parameters, task, rows, step)
                tokens += computed
                if not torch.isfinite(torch.tensor(loss)):
                    raise FedloomError(f"the loss is {loss} at step {len(losses) + 1}; lower task.learning_rate")
                hooks.after_gradient(parameters.weights, parameters.gradient)
                if not gradients.clips_rows:
                    _clip(gradient, task.max_grad_norm)
                optimizer.step()
                hooks.after_step(parameters.weights, learning_rate)
                parameters.publish()
                losses.append(loss)
    finally:
        model.eval()  # what is measured next, after a failure too, is measured without dropout
    seconds = time.perf_counter() - begin
    return Trained(sum(losses) / len(losses), losses[0], len(losses), tokens, seconds, moments_of(optimizer, weights))


def _clip(gradient: Tensor, max_norm: float) -> None:
    """Scale `gradient` down to `max_norm`.

    The norm is taken over short pieces first: a reduction over the whole vector is split among threads, and its last bit would depend on
    how many there are.
    """
    pieces = torch.stack(torch._foreach_norm(gradient.split(16384)))
    norm = torch.linalg.vector_norm(pieces)
    gradient.mul_((max_norm / (norm + 1e-6)).clamp(max=1.0))
