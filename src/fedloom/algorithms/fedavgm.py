"""FedAvgM (Hsu et al. 2019, arXiv 1909.06335): FedAvg with momentum on the server.

Delta is the weighted mean update. paper_code: m = Delta in the first round, then m <- beta1 m + (1 - beta1) Delta. textbook:
m <- beta1 m + Delta from m = 0. Both: w <- w + m.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated

from pydantic import Field
from torch import Tensor

from fedloom.algorithms.base import Algorithm, algorithms
from fedloom.algorithms.moments import first_moment
from fedloom.state import State


@algorithms.register("fedavgm")
@dataclass
class FedAvgM(Algorithm):
    """Server momentum."""

    joins_by_mean = True

    beta1: Annotated[float, Field(description="momentum: the share of the last round's step that is kept", ge=0, lt=1)] = 0.9

    def start(self, state: Mapping[str, Tensor], clients: int = 1) -> None:
        super().start(state, clients)
        self.m: State | None = None

    def server_update(self, mean: State) -> State:
        if self.variant == "paper_code":
            self.m = first_moment(self.m, mean, self.beta1, "paper_code")
        else:
            self.m = mean if self.m is None else self.m * self.beta1 + mean
        return self.m

    def server_memory(self) -> dict[str, State]:
        return {} if self.m is None else {"m": self.m}

    def restore(self, memory: Mapping[str, State]) -> None:
        self.m = memory.get("m")
