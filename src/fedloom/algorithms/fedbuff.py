"""FedBuff's server half (Nguyen et al. 2022, arXiv 2106.06639, Algorithm 1): a server step after every K updates.

w <- w + server_lr (1/K) sum_i s(tau_i) (w_i - w), s(tau) = 1 / sqrt(1 + tau), tau_i the server steps since client i received its weights.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated

import torch
from pydantic import Field
from torch import Tensor

from fedloom.algorithms.base import Algorithm, Contribution, algorithms
from fedloom.errors import FedloomError
from fedloom.state import State

PAPERS_BUFFER = 10


@algorithms.register("fedbuff")
@dataclass
class FedBuff(Algorithm):
    """Buffered asynchronous averaging. The K-th update takes the server step by itself; `step` returns the state as it then is.

    A buffer that is not full stays for the next round. `report` may hold a reply's `staleness` tau_i, 0 when absent; n_i does not count.
    Both variants are the same.
    """

    takes_late = True
    joins_statistics = True

    buffer_size: Annotated[
        int | None,
        Field(description="K, the updates that make a server step; null: the paper's 10, or all clients where there are fewer", ge=1),
    ] = None
    server_lr: Annotated[float, Field(description="the server's step size", gt=0)] = 1.0

    def start(self, state: Mapping[str, Tensor], clients: int = 1) -> None:
        super().start(state, clients)
        self.steps_taken = 0
        self._size = self.buffer_size or min(PAPERS_BUFFER, clients)

    def add(
        self,
        update: Mapping[str, Tensor],
        weight: float = 1.0,
        extras: Mapping[str, State] | None = None,
        report: Mapping[str, float] | None = None,
        client: str = "",
    ) -> None:
        super().add(update, weight, extras, report, client)
        if self._replies == self._size:
            super().step()
            self.steps_taken += 1

    def step(self) -> State:
        """The global state after the buffers that were filled so far."""
        return self.state

    def share(self, contribution: Contribution) -> tuple[float, float]:
        staleness = contribution.report.get("staleness", 0.0)
        if not 0 <= staleness < math.inf:
            raise FedloomError(f"a client's 'staleness' should be zero or more server steps, got {staleness}")
        return 1 / math.sqrt(1 + staleness), 1.0

    def server_update(self, mean: State) -> State:
        return mean * self.server_lr

    def server_memory(self) -> dict[str, State]:
        counts = {"counts": State.of({"filled": torch.tensor([self._replies]), "steps": torch.tensor([self.steps_taken])})}
        return counts if self._sum is None else counts | {"buffer": self._sum.clone()}

    def restore(self, memory: Mapping[str, State]) -> None:
        self.clear_round()
        if "counts" in memory:
            self.steps_taken = int(memory["counts"]["steps"])
        if "buffer" in memory:
            self._sum = memory["buffer"].clone()
            self._replies = int(memory["counts"]["filled"])
            self._divisor = float(self._replies)
