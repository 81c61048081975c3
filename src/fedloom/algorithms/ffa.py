"""FFA-LoRA (Sun et al. 2024, arXiv 2403.12313): A stays at its random start, only B is trained and averaged.

With one A for all clients, sum_i p_i (B_i A) = (sum_i p_i B_i) A: averaging B averages the products exactly.
"""

from __future__ import annotations

from torch import Tensor

from fedloom.algorithms.client import ClientHalf, LocalResult
from fedloom.algorithms.lora import lora_pairs
from fedloom.state import State


class FrozenA(ClientHalf):
    """The client's `half` of any algorithm, with every LoRA factor A held where it was received, to the bit."""

    def __init__(self, half: ClientHalf) -> None:
        super().__init__(half.start, half.received, half.memory)
        self.half = half
        self._frozen = _slices_of_a(half.start)

    def after_gradient(self, weights: Tensor, gradient: Tensor) -> None:
        self.half.after_gradient(weights, gradient)
        for start, end in self._frozen:
            gradient[start:end].zero_()  # before clipping, so that A takes no share of the norm from B

    def after_step(self, weights: Tensor, learning_rate: float) -> None:
        self.half.after_step(weights, learning_rate)
        for start, end in self._frozen:
            weights[start:end].copy_(self.start.flat[start:end])  # weight decay moves weights that have no gradient

    def finish(self, end: State, steps: int, learning_rate: float) -> LocalResult:
        return self.half.finish(end, steps, learning_rate)


def without_a(update: State) -> State:
    """A copy of `update` in which every LoRA factor A stays as it is: the server does not rely on clients to hold A."""
    held = update.clone()
    for start, end in _slices_of_a(update):
        held.flat[start:end].zero_()
    return held


def _slices_of_a(state: State) -> list[tuple[int, int]]:
    return [state.layout.slices[pair.a][:2] for pair in lora_pairs(state)]
