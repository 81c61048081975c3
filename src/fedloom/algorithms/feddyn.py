"""FedDyn (Acar et al. 2021, arXiv 2111.04263, Algorithm 1): every client's loss gets terms that move its minimum to the joint one.

Client i minimises L_i(theta) - <g_i, theta> + alpha/2 ||theta - w||^2 and then takes g_i <- g_i - alpha (theta - w). Of N clients the set S
takes part: h <- h - alpha (1/N) sum_S (w_i - w); w <- (1/|S|) sum_S w_i - h / alpha.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated

from pydantic import Field
from torch import Tensor

from fedloom.algorithms.base import Algorithm, Contribution, algorithms
from fedloom.algorithms.client import ClientHalf, LocalResult
from fedloom.state import State


@algorithms.register("feddyn")
@dataclass
class FedDyn(Algorithm):
    """Dynamic regularisation. Clients count alike. Both variants are the same."""

    alpha: Annotated[float, Field(description="strength of the regulariser", gt=0)] = 0.01

    def start(self, state: Mapping[str, Tensor], clients: int = 1) -> None:
        super().start(state, clients)
        self.clients = clients
        self.h = self.state.zeros()

    def share(self, contribution: Contribution) -> tuple[float, float]:
        return 1.0, 1.0

    def server_update(self, mean: State) -> State:
        self.h = self.h - mean * (self.alpha * self._replies / self.clients)
        return mean - self.h * (1 / self.alpha)

    def client_half(self, start: State, received: Mapping[str, State], memory: Mapping[str, State]) -> ClientHalf:
        return DynamicClient(start, received, memory, self.alpha)

    def server_memory(self) -> dict[str, State]:
        return {"h": self.h}

    def restore(self, memory: Mapping[str, State]) -> None:
        self.h = memory.get("h", self.h)


class DynamicClient(ClientHalf):
    """Adds alpha (theta - w) - g_i to the gradient. A client that has not taken part has g_i = 0."""

    def __init__(self, start: State, received: Mapping[str, State], memory: Mapping[str, State], alpha: float) -> None:
        super().__init__(start, received, memory)
        self.alpha = alpha
        self.linear = memory["gradient"] if "gradient" in memory else start.zeros()

    def after_gradient(self, weights: Tensor, gradient: Tensor) -> None:
        gradient.add_(weights - self.start.flat, alpha=self.alpha).sub_(self.linear.flat)

    def finish(self, end: State, steps: int, learning_rate: float) -> LocalResult:
        update = end - self.start
        return LocalResult(update, {}, {"gradient": self.linear - update * self.alpha})
