"""Krum (Blanchard et al. 2017, arXiv 1703.02757): the one update that lies closest to its n - f - 2 nearest neighbours."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated

from pydantic import Field
from torch import Tensor

from fedloom.algorithms.base import algorithms
from fedloom.algorithms.robust.all_at_once import AllAtOnce
from fedloom.algorithms.robust.geometry import squared_distances


@algorithms.register("krum")
@dataclass
class Krum(AllAtOnce):
    """Takes one client's update as it is. Clients count alike. Both variants are the same."""

    precondition = "n >= 2f + 3, f being `malicious`"

    malicious: Annotated[int, Field(description="f, the malicious updates that a round may hold", ge=0)] = 1

    @property
    def needs_clients(self) -> int:
        return 2 * self.malicious + 3

    def join(self, updates: Tensor, weights: Sequence[float], clients: Sequence[str]) -> Tensor:
        scores = krum_scores(squared_distances(updates), len(updates) - self.malicious - 2)
        return updates[int(scores.argmin())]


def krum_scores(distances: Tensor, neighbours: int) -> Tensor:
    """For each update the sum of the squared distances to its nearest `neighbours`; `distances` is (n, n), the scores (n,)."""
    return distances.sort(dim=1).values[:, 1 : neighbours + 1].sum(dim=1)  # the nearest is the update itself
