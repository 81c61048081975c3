"""Geometric median (Pillutla et al. 2022, RFA, arXiv 1912.13445): the point z that minimises sum_i p_i ||u_i - z||.

Smoothed Weiszfeld steps lead there: z = sum_i b_i u_i / sum_i b_i with b_i = p_i / max(nu, ||u_i - z||), first
b_i = p_i = n_i / sum_j n_j.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated

import torch
from pydantic import Field
from torch import Tensor

from fedloom.algorithms.base import algorithms
from fedloom.algorithms.robust.all_at_once import AllAtOnce
from fedloom.algorithms.robust.geometry import places


@algorithms.register("geometric_median")
@dataclass
class GeometricMedian(AllAtOnce):
    """The weighted geometric median of the updates. Both variants are the same."""

    iterations: Annotated[
        int, Field(description="Weiszfeld steps; the paper takes 3, which is too few when attackers are many times as far away", ge=1)
    ] = 1000
    smoothing: Annotated[float, Field(description="nu, the least distance that is told from zero", gt=0)] = 1e-6

    def join(self, updates: Tensor, weights: Sequence[float], clients: Sequence[str]) -> Tensor:
        points = places(updates)
        p = torch.tensor(weights, dtype=torch.float64) / sum(weights)
        share = p
        for _ in range(self.iterations):
            to_point = torch.linalg.vector_norm(points - share @ points, dim=1)
            pull = p / to_point.clamp(min=self.smoothing)
            before, share = share, pull / pull.sum()
            if torch.equal(before, share):
                break
        return share.float() @ updates
