"""FedExP (Jhunjhunwala et al. 2023, arXiv 2301.09604, Algorithm 1): the server steps further when the updates disagree.

With the M updates Delta_i of a round and their unweighted mean Delta: w <- w + eta Delta,
eta = max(1, sum_i ||Delta_i||^2 / (2 M (||Delta||^2 + epsilon))). Steps that long oscillate, so the paper evaluates the mean of the last
two iterates, (w_T + w_T-1) / 2: that is what is measured and handed out.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated

from pydantic import Field
from torch import Tensor

from fedloom.algorithms.base import Algorithm, Contribution, algorithms
from fedloom.state import State


@algorithms.register("fedexp")
@dataclass
class FedExP(Algorithm):
    """Extrapolated averaging. Both variants are the same."""

    epsilon: Annotated[float, Field(description="keeps the step finite when the updates cancel out", gt=0)] = 1e-3

    def start(self, state: Mapping[str, Tensor], clients: int = 1) -> None:
        super().start(state, clients)
        self._previous = self.state

    @property
    def result(self) -> State:
        return (self._previous + self.state) * 0.5

    def share(self, contribution: Contribution) -> tuple[float, float]:
        return 1.0, 1.0

    def accumulate(self, contribution: Contribution) -> None:
        super().accumulate(contribution)
        self._squares += contribution.update.norm() ** 2

    def server_update(self, mean: State) -> State:
        self._previous = self.state
        return mean * max(1.0, self._squares / (2 * self._replies * (mean.norm() ** 2 + self.epsilon)))

    def server_memory(self) -> dict[str, State]:
        return {"previous": self._previous}

    def restore(self, memory: Mapping[str, State]) -> None:
        self._previous = memory.get("previous", self._previous)

    def clear_round(self) -> None:
        super().clear_round()
        self._squares = 0.0
