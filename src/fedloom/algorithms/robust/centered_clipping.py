"""Centred clipping (Karimireddy et al. 2021, arXiv 2012.10333, Algorithm 2): updates are clipped around the last round's joint update.

v <- v + (1/n) sum_i (u_i - v) min(1, radius / ||u_i - v||), some times over, from the v of the last round (0 in the first); w <- w + v.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated

from pydantic import Field
from torch import Tensor

from fedloom.algorithms.base import algorithms
from fedloom.algorithms.robust.all_at_once import AllAtOnce
from fedloom.algorithms.robust.geometry import distances_to
from fedloom.state import State


@algorithms.register("centered_clipping")
@dataclass
class CenteredClipping(AllAtOnce):
    """Clips what departs from the common direction. Clients count alike. Both variants are the same."""

    radius: Annotated[float, Field(description="tau, how far an update may pull the centre", gt=0)] = 1.0
    iterations: Annotated[int, Field(description="times that the centre is moved in a round", ge=1)] = 3

    def start(self, state: Mapping[str, Tensor], clients: int = 1) -> None:
        super().start(state, clients)
        self.center = self.state.zeros()

    def join(self, updates: Tensor, weights: Sequence[float], clients: Sequence[str]) -> Tensor:
        center = self.center.flat
        for _ in range(self.iterations):
            scale = (self.radius / distances_to(center, updates)).clamp(max=1).float() / len(updates)
            center = center * (1 - scale.sum()) + scale @ updates
        self.center = State(self.center.layout, center)
        return center

    def server_memory(self) -> dict[str, State]:
        return {"center": self.center}

    def restore(self, memory: Mapping[str, State]) -> None:
        self.center = memory.get("center", self.center)
