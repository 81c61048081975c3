"""The optimisers of local training, over one flat vector of weights, and what a client may keep of them from round to round."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from fedloom.tasks.base import Task


def make_optimizer(task: Task, weights: nn.Parameter, learning_rate: float, moments: Mapping[str, Tensor] | None) -> torch.optim.Optimizer:
    """The optimiser of `task` for one round.

    adamw: betas .9/.999, eps 1e-8, decoupled weight decay; it goes on from `moments`, what `moments_of` gave after an earlier round, or
    begins afresh without. sgd: w <- w - learning_rate (g + weight_decay w), without momentum, so it has nothing to go on from.
    """
    if task.optimizer == "sgd":
        return torch.optim.SGD([weights], lr=learning_rate, weight_decay=task.weight_decay)
    fused = weights.device.type in ("cpu", "cuda")
    optimizer = torch.optim.AdamW([weights], lr=learning_rate, weight_decay=task.weight_decay, fused=fused)
    if moments:
        state = {name: moments[name].to(weights.device, copy=True) for name in ("exp_avg", "exp_avg_sq")}
        optimizer.state[weights] = {"step": moments["step"][0].to(weights.device if fused else "cpu", copy=True), **state}
    return optimizer


def moments_of(optimizer: torch.optim.Optimizer, weights: nn.Parameter) -> dict[str, Tensor]:
    """Adam's moments `exp_avg` and `exp_avg_sq`, of shape (n,) as `weights`, and its `step` (1,); nothing of an optimiser without state."""
    return {name: value.detach().reshape(-1) for name, value in optimizer.state[weights].items() if torch.is_tensor(value)}
