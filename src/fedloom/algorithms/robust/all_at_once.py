"""The base class of rules that need all updates of a round at once, collected in one matrix that is kept from round to round."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import ClassVar

import torch
from torch import Tensor

from fedloom.algorithms.base import Algorithm, Contribution
from fedloom.errors import FedloomError
from fedloom.state import State, with_possible_variances


@dataclass
class AllAtOnce(Algorithm):
    """Collects the n updates of a round, of d values each, and joins them in `step`. Needs memory for n x d values."""

    precondition: ClassVar[str] = "n >= 1"
    """Where `needs_clients` comes from, in the letters of the paper and the words of the settings."""

    joins_statistics: ClassVar[bool] = True

    _matrix: Tensor = field(init=False, repr=False, default_factory=lambda: torch.empty(0, 0))

    def start(self, state: Mapping[str, Tensor], clients: int = 1) -> None:
        super().start(state, clients)
        if self._matrix.shape[1] != self.state.layout.numel:
            self._matrix = torch.empty(0, self.state.layout.numel)

    def accumulate(self, contribution: Contribution) -> None:
        if self._replies == len(self._matrix):
            larger = torch.empty(max(16, 2 * len(self._matrix)), self._matrix.shape[1])
            larger[: self._replies] = self._matrix
            self._matrix = larger
        self._matrix[self._replies] = contribution.update.flat
        self._weights.append(contribution.weight)
        self._clients.append(contribution.client)

    def step(self) -> State:
        """The new global state: w + join(updates). Raises FedloomError when the rule's precondition does not hold."""
        if self._replies < self.needs_clients:
            raise FedloomError(
                f"{type(self).__name__} needs {self.needs_clients} or more updates in a round ({self.precondition}), got {self._replies}:"
                " draw more clients in each round, or choose another rule"
            )
        joined = self.join(self._matrix[: self._replies], self._weights, self._clients)
        self.state = with_possible_variances(self.state + State(self.state.layout, joined))
        self.clear_round()
        return self.state

    @abstractmethod
    def join(self, updates: Tensor, weights: Sequence[float], clients: Sequence[str]) -> Tensor:
        """One update of shape (d,) from `updates` of shape (n, d), which may be changed; `weights` and `clients` go with the rows."""

    def clear_round(self) -> None:
        super().clear_round()
        self._weights: list[float] = []
        self._clients: list[str] = []
