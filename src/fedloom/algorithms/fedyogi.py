"""FedYogi (Reddi et al. 2021, arXiv 2003.00295, Algorithm 2): w <- w + server_lr m / (sqrt(v) + tau).

Delta is the unweighted mean update and v starts at tau^2. paper_code: m = Delta in the first round, then m <- beta1 m + (1 - beta1) Delta;
v <- v - (1 - beta2) m^2 sign(v - m^2). textbook: m starts at 0; v <- v - (1 - beta2) Delta^2 sign(v - Delta^2).
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated

from pydantic import Field
from torch import Tensor

from fedloom.algorithms.base import Algorithm, Contribution, algorithms
from fedloom.algorithms.moments import adaptive_step, first_moment, initial_second_moment
from fedloom.state import State


@algorithms.register("fedyogi")
@dataclass
class FedYogi(Algorithm):
    """Yogi on the server: v follows the squares in steps of their own size, so that it falls slowly."""

    joins_by_mean = True

    server_lr: Annotated[float, Field(description="eta, the server's step size", gt=0)] = 1e-3
    tau: Annotated[float, Field(description="adaptivity: added to sqrt(v); v starts at tau^2", gt=0)] = 1e-3
    beta1: Annotated[float, Field(description="decay of the first moment m", ge=0, lt=1)] = 0.9
    beta2: Annotated[float, Field(description="decay of the second moment v", ge=0, lt=1)] = 0.99

    def start(self, state: Mapping[str, Tensor], clients: int = 1) -> None:
        super().start(state, clients)
        self.m: State | None = None
        self.v = initial_second_moment(self.state, self.tau)

    def share(self, contribution: Contribution) -> tuple[float, float]:
        return 1.0, 1.0

    def server_update(self, mean: State) -> State:
        self.m = first_moment(self.m, mean, self.beta1, self.variant)
        square = (self.m if self.variant == "paper_code" else mean).flat.square()
        self.v = State(mean.layout, self.v.flat - (1 - self.beta2) * square * (self.v.flat - square).sign())
        return adaptive_step(self.m, self.v, self.server_lr, self.tau)

    def server_memory(self) -> dict[str, State]:
        return {"v": self.v} if self.m is None else {"m": self.m, "v": self.v}

    def restore(self, memory: Mapping[str, State]) -> None:
        self.m, self.v = memory.get("m"), memory.get("v", self.v)
