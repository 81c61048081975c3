"""Multi-Krum (Blanchard et al. 2017, arXiv 1703.02757, section 5): the mean of the m updates with the lowest Krum scores."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated

from pydantic import Field
from torch import Tensor

from fedloom.algorithms.base import algorithms
from fedloom.algorithms.robust.all_at_once import AllAtOnce
from fedloom.algorithms.robust.geometry import squared_distances
from fedloom.algorithms.robust.krum import krum_scores


@algorithms.register("multi_krum")
@dataclass
class MultiKrum(AllAtOnce):
    """Averages what Krum trusts most. Clients count alike. Both variants are the same."""

    precondition = "n >= 2f + 3 and n >= m + f + 2, f being `malicious` and m `keep`"

    malicious: Annotated[int, Field(description="f, the malicious updates that a round may hold", ge=0)] = 1
    keep: Annotated[int | None, Field(description="m, the updates that are averaged; null: n - f - 2, the most that is safe", ge=1)] = None

    @property
    def needs_clients(self) -> int:
        return max(2 * self.malicious + 3, (self.keep or 1) + self.malicious + 2)

    def join(self, updates: Tensor, weights: Sequence[float], clients: Sequence[str]) -> Tensor:
        neighbours = len(updates) - self.malicious - 2
        trusted = krum_scores(squared_distances(updates), neighbours).argsort(stable=True)[: self.keep or neighbours]
        return updates[trusted.sort().values].mean(dim=0)
