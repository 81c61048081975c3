"""Clients of smaller LoRA ranks in one federation (FlexLoRA, Bai et al. 2024, arXiv 2402.11505): a small site trains fewer directions.

A client of rank r_i trains the first r_i rows of every A and columns of every B, which after a refactoring are the best approximation of
that rank. The others are zero while it trains: with both factors of a direction at zero, neither has a gradient, so they stay so.
"""

from __future__ import annotations

from torch import Tensor

from fedloom.algorithms.client import ClientHalf, LocalResult
from fedloom.algorithms.lora import lora_pairs, truncate
from fedloom.state import State


class NarrowRank(ClientHalf):
    """The client's `half`, which began from a `narrowed` state; sends the `rank` directions that it trained."""

    def __init__(self, half: ClientHalf, rank: int) -> None:
        super().__init__(half.start, half.received, half.memory)
        self.half = half
        self.rank = rank

    def after_gradient(self, weights: Tensor, gradient: Tensor) -> None:
        self.half.after_gradient(weights, gradient)

    def after_step(self, weights: Tensor, learning_rate: float) -> None:
        self.half.after_step(weights, learning_rate)

    def finish(self, end: State, steps: int, learning_rate: float) -> LocalResult:
        result = self.half.finish(end, steps, learning_rate)
        return LocalResult(truncate(result.update, self.rank), result.extras, result.memory)


def narrowed(state: State, rank: int) -> State:
    """A copy of `state` in which every direction beyond the first `rank` is zero."""
    copy = state.clone()
    for pair in lora_pairs(copy):
        copy[pair.a][rank:].zero_()
        copy[pair.b][:, rank:].zero_()
    return copy
