"""FedAdagrad (Reddi et al. 2021, arXiv 2003.00295, Algorithm 2): v <- v + Delta^2; w <- w + server_lr Delta / (sqrt(v) + tau).

Delta is the unweighted mean update and v starts at tau^2; there is no momentum.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated

from pydantic import Field
from torch import Tensor

from fedloom.algorithms.base import Algorithm, Contribution, algorithms
from fedloom.algorithms.moments import adaptive_step, initial_second_moment
from fedloom.state import State


@algorithms.register("fedadagrad")
@dataclass
class FedAdagrad(Algorithm):
    """Adagrad on the server. Both variants are the same."""

    joins_by_mean = True

    server_lr: Annotated[float, Field(description="eta, the server's step size", gt=0)] = 1e-3
    tau: Annotated[float, Field(description="adaptivity: added to sqrt(v); v starts at tau^2", gt=0)] = 1e-3

    def start(self, state: Mapping[str, Tensor], clients: int = 1) -> None:
        super().start(state, clients)
        self.v = initial_second_moment(self.state, self.tau)

    def share(self, contribution: Contribution) -> tuple[float, float]:
        return 1.0, 1.0

    def server_update(self, mean: State) -> State:
        self.v = State(mean.layout, self.v.flat + mean.flat.square())
        return adaptive_step(mean, self.v, self.server_lr, self.tau)

    def server_memory(self) -> dict[str, State]:
        return {"v": self.v}

    def restore(self, memory: Mapping[str, State]) -> None:
        self.v = memory.get("v", self.v)
