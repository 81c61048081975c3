"""DP-SGD (Abadi et al. 2016, arXiv 1607.00133, algorithm 1): Poisson batches, rows clipped to a norm, Gaussian noise on their sum."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import torch
from torch import Tensor, nn

from fedloom.models.flat import FlatParameters
from fedloom.privacy.row_gradients import row_gradients
from fedloom.tasks.base import Rows, Task
from fedloom.tasks.gradients import Step

PIECE = 512
"""Values whose squares are added up in fp32: over millions, torch's norm of a vector comes out up to 1e-4 too small."""
BELOW = 1 - 1e-6
"""What a clipped row is scaled to, in clipping norms: rounding leaves it below 1."""


@dataclass(frozen=True)
class PrivateGradients:
    """Gradients of sampled, clipped and noised rows.

    Each row is drawn by itself with probability `sample_rate`; its gradient, that of its own mean loss, is scaled down to the norm `clip`;
    noise of standard deviation `noise_multiplier` x `clip` is added to the sum; the whole is divided by `expected_rows`, which does not
    depend on what was drawn. `random` draws rows and noise.
    """

    clips_rows: ClassVar[bool] = True

    clip: float
    noise_multiplier: float
    sample_rate: float
    expected_rows: int
    random: np.random.Generator

    def draw(self, rows: int, task: Task) -> list[list[list[int]]]:
        """One batch for each step of a round; a batch may be empty."""
        return [[np.flatnonzero(self.random.random(rows) < self.sample_rate).tolist()] for _ in range(task.steps_for(rows))]

    def add(self, model: nn.Module, parameters: FlatParameters, task: Task, rows: Rows, step: Step) -> tuple[float, int]:
        """Add the noised mean gradient to `parameters.gradient`. The loss that is given is 0: a true one would tell of rows."""
        tokens = self.add_clipped(model, parameters, task, rows, step)
        parameters.gradient.add_(self._noise(parameters.gradient)).div_(self.expected_rows)
        return 0.0, tokens

    def add_clipped(self, model: nn.Module, parameters: FlatParameters, task: Task, rows: Rows, step: Step) -> int:
        """Add the sum of the clipped gradients of the rows of `step`, without noise; gives the tokens that were computed."""
        batch, tokens = [row for part in step for row in part], 0
        if not batch:
            return tokens
        total = parameters.gradient.clone()
        with row_gradients(model, parameters) as by_row:
            for gradients, computed in by_row.of(task, rows, batch):
                lengths = norms(gradients)
                gradients[~lengths.isfinite()] = 0.0  # an error would tell of the row
                weights = (self.clip * BELOW / lengths).clamp(max=1.0).nan_to_num(0.0)
                total.addmv_(gradients.T, weights)
                tokens += computed
        parameters.zero_gradient()  # what autograd has summed beside, over rows that are not clipped
        parameters.gradient.copy_(total)
        return tokens

    def _noise(self, like: Tensor) -> Tensor:
        drawn = self.random.standard_normal(like.numel(), dtype=np.float32)
        return torch.from_numpy(drawn).mul_(self.noise_multiplier * self.clip).to(like.device)


def norms(gradients: Tensor) -> Tensor:
    """The Euclidean norm of every row of `gradients` (rows, n), (rows,)."""
    whole = gradients.shape[1] // PIECE * PIECE
    pieces = torch.linalg.vector_norm(gradients[:, :whole].unflatten(1, (-1, PIECE)), dim=2).double()
    squares = pieces.square().sum(1) + gradients[:, whole:].double().square().sum(1)
    return squares.sqrt().float().clamp(min=torch.finfo(torch.float32).tiny)
