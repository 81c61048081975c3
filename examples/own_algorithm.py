"""An algorithm of your own: Nesterov momentum on the server, the outer optimiser of DiLoCo (Douillard et al. 2023, arXiv 2311.08105).

m <- beta m + mean update;  w <- w + server_lr (beta m + mean update). Run it from the top of the repository:

    fedloom run tiny plugins=[examples/own_algorithm.py] algorithm.name=nesterov algorithm.beta=0.8

For a rule that changes local training too, return a ClientHalf from `client_half`: see src/fedloom/algorithms/fedprox.py.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated

from pydantic import Field
from torch import Tensor

from fedloom import algorithms
from fedloom.state import State


@algorithms.register("nesterov")
@dataclass
class Nesterov(algorithms.Algorithm):
    """The weighted mean of the updates as a gradient for Nesterov's method. Both variants are the same."""

    beta: Annotated[float, Field(ge=0, lt=1, description="momentum: the share of m that is kept from round to round")] = 0.9
    server_lr: Annotated[float, Field(gt=0, description="length of the server's step")] = 0.7

    def start(self, state: Mapping[str, Tensor], clients: int = 1) -> None:
        super().start(state, clients)
        self.m = self.state.zeros()

    def server_update(self, mean: State) -> State:
        self.m = self.m * self.beta + mean
        return (self.m * self.beta + mean) * self.server_lr

    def server_memory(self) -> dict[str, State]:
        """What a checkpoint holds beside the global state, so that a resumed run ends in the same bytes."""
        return {"m": self.m}

    def restore(self, memory: Mapping[str, State]) -> None:
        self.m = memory.get("m", self.m)
