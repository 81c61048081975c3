"""Running statistics in a State, such as BatchNorm's: they are measured and not learnt, so that rules for weights mean nothing to them.

A client takes no step along them, and its half of an algorithm sees them as they were received. The server joins them by the mean
(sum_i n_i s_i) / (sum_i n_i), whatever its rule does with weights: a momentum, an adaptive step or a longer one would make variances of
them that no rows have. Rules that decide whose update to believe (`joins_statistics`) join them like all other values.
"""

from __future__ import annotations

import torch
from torch import Tensor

from fedloom.algorithms.client import ClientHalf, LocalResult
from fedloom.state import Layout, State


class HeldStatistics(ClientHalf):
    """The client's `half` of any algorithm, to which running statistics seem not to move. What is sent has them as they ended."""

    def __init__(self, half: ClientHalf) -> None:
        super().__init__(half.start, half.received, half.memory)
        self.half = half
        self._places = _places(half.start.layout).to(half.start.flat.device)
        self._held = half.start.flat[self._places]

    def after_gradient(self, weights: Tensor, gradient: Tensor) -> None:
        now = self._hold(weights)
        self.half.after_gradient(weights, gradient)
        weights[self._places] = now

    def after_step(self, weights: Tensor, learning_rate: float) -> None:
        now = self._hold(weights)
        self.half.after_step(weights, learning_rate)
        weights[self._places] = now

    def finish(self, end: State, steps: int, learning_rate: float) -> LocalResult:
        held = end.clone()
        moved = self._hold(held.flat) - self._held
        result = self.half.finish(held, steps, learning_rate)
        result.update.flat[self._places] = moved
        return result

    def _hold(self, weights: Tensor) -> Tensor:
        """Put the statistics of the start into `weights`; gives those that were there."""
        now = weights[self._places]
        weights[self._places] = self._held
        return now


class StatisticsMean:
    """The mean of the running statistics of a round's updates, weighted by n_i."""

    def __init__(self, layout: Layout) -> None:
        self._places = _places(layout)
        self._sum = torch.zeros(len(self._places))
        self._weight = 0.0

    def without(self, update: State) -> State:
        """A copy of `update` that leaves the statistics as they are: what the rule is given."""
        copy = update.clone()
        copy.flat[self._places] = 0.0
        return copy

    def add(self, update: State, weight: float) -> None:
        """Add the statistics of `update`."""
        self._sum.add_(update.flat[self._places], alpha=weight)
        self._weight += weight

    def moved(self, state: State) -> State:
        """`state`, changed in place, with the mean added to its statistics."""
        state.flat[self._places] += self._sum / self._weight
        return state


def _places(layout: Layout) -> Tensor:
    """Where the running statistics stand in the flat buffer, (m,) int64."""
    return torch.cat([torch.arange(where.start, where.stop) for where in layout.statistics.values()])
