"""Coordinate-wise median (Yin et al. 2018, arXiv 1803.01498, option I)."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from fedloom.algorithms.base import algorithms
from fedloom.algorithms.robust.all_at_once import AllAtOnce
from fedloom.algorithms.robust.order_statistics import column_median, stretches


@algorithms.register("median")
@dataclass
class Median(AllAtOnce):
    """The median of the updates in every coordinate. Clients count alike. Both variants are the same."""

    def join(self, updates: Tensor, weights: Sequence[float], clients: Sequence[str]) -> Tensor:
        rows, joined = list(updates.numpy()), torch.empty(updates.shape[1])
        for columns in stretches(updates.shape[1]):
            joined.numpy()[columns] = column_median([row[columns] for row in rows])
        return joined
