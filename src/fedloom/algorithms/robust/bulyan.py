"""Bulyan (El Mhamdi et al. 2018, arXiv 1802.07927): Krum picks theta = n - 2f updates one after the other; in each coordinate the
beta = theta - 2f picked values nearest to their median are averaged."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated

import numpy as np
import torch
from pydantic import Field
from torch import Tensor

from fedloom.algorithms.base import algorithms
from fedloom.algorithms.robust.all_at_once import AllAtOnce
from fedloom.algorithms.robust.geometry import squared_distances
from fedloom.algorithms.robust.krum import krum_scores
from fedloom.algorithms.robust.order_statistics import Row, order_statistics, stretches


@algorithms.register("bulyan")
@dataclass
class Bulyan(AllAtOnce):
    """Krum, and then a trimmed mean around the median. Clients count alike. Both variants are the same."""

    precondition = "n >= 4f + 3, f being `malicious`"

    malicious: Annotated[int, Field(description="f, the malicious updates that a round may hold", ge=0)] = 1

    @property
    def needs_clients(self) -> int:
        return 4 * self.malicious + 3

    def join(self, updates: Tensor, weights: Sequence[float], clients: Sequence[str]) -> Tensor:
        picked = _picked(squared_distances(updates), self.malicious)
        matrix, joined = updates.numpy(), torch.empty(updates.shape[1])
        for columns in stretches(updates.shape[1]):
            rows = [matrix[i, columns] for i in picked]
            joined.numpy()[columns] = _mean_around_median(order_statistics(rows, range(len(rows))), len(rows) - 2 * self.malicious)
        return joined


def _picked(distances: Tensor, malicious: int) -> list[int]:
    """The n - 2f updates that Krum picks when it is asked again and again without those it has picked.

    Two updates that are each other's nearest have equal scores once few are left; the score among all updates decides between them.
    """
    n = len(distances)
    among_all = krum_scores(distances, n - malicious - 2)
    left = list(range(n))
    picked: list[int] = []
    while len(picked) < n - 2 * malicious:
        scores = krum_scores(distances[left][:, left], max(len(left) - malicious - 2, 1))
        best = min(range(len(left)), key=lambda i: (float(scores[i]), float(among_all[left[i]])))
        picked.append(left.pop(best))
    return picked


def _mean_around_median(ranked: list[Row], count: int) -> Row:
    """The mean of the `count` values nearest to the median in each column of `ranked`, rows in ascending order.

    Those values are neighbours in order. From the smallest `count` on, the window moves while the value that enters is nearer to the median
    than the one that leaves; of two that are equally near, the smaller one stays.
    """
    n = len(ranked)
    median = np.float32(0.5) * (ranked[(n - 1) // 2] + ranked[n // 2])
    best: Row = sum(ranked[1:count], start=ranked[0])
    for first in range(1, n - count + 1):
        total = sum(ranked[first + 1 : first + count], start=ranked[first])  # anew: a huge value that leaves would take small ones with it
        nearer = ranked[first + count - 1] - median < median - ranked[first - 1]
        best = np.where(nearer, total, best)
    return best / np.float32(count)
