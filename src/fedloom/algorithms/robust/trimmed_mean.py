"""Coordinate-wise trimmed mean (Yin et al. 2018, arXiv 1803.01498, option II)."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated

import torch
from pydantic import Field
from torch import Tensor

from fedloom.algorithms.base import algorithms
from fedloom.algorithms.robust.all_at_once import AllAtOnce
from fedloom.algorithms.robust.order_statistics import order_statistics, stretches


@algorithms.register("trimmed_mean")
@dataclass
class TrimmedMean(AllAtOnce):
    """In every coordinate, the mean without the `trim` smallest and largest values. Clients count alike. Both variants are the same."""

    precondition = "n >= 2 trim + 1"

    trim: Annotated[int, Field(description="values left out on each side", ge=0)] = 1

    @property
    def needs_clients(self) -> int:
        return 2 * self.trim + 1

    def join(self, updates: Tensor, weights: Sequence[float], clients: Sequence[str]) -> Tensor:
        rows, joined = list(updates.numpy()), torch.empty(updates.shape[1])
        ranks = range(self.trim, len(rows) - self.trim)
        for columns in stretches(updates.shape[1]):
            kept = order_statistics([row[columns] for row in rows], ranks)
            joined.numpy()[columns] = sum(kept[1:], start=kept[0]) / len(kept)
        return joined
