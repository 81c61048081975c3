"""A client's half of an algorithm: what it does inside local training, and what it sends back."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from torch import Tensor

from fedloom.state import State


@dataclass(frozen=True)
class LocalResult:
    """What a client sends back: `update` = w_i - w, `extras` further states by name, `memory` what stays on its disk."""

    update: State
    extras: Mapping[str, State]
    memory: Mapping[str, State]


class ClientHalf:
    """A client's part in one round. This one is plain local training; algorithms override what they change.

    `weights` and `gradient` are the flat fp32 vectors of the trained parameters; both may be changed in place.
    `received` are the server's extra states of this round, `memory` the client's own from the last round it took part in.
    """

    def __init__(self, start: State, received: Mapping[str, State], memory: Mapping[str, State]) -> None:
        self.start = start
        self.received = received
        self.memory = memory

    def after_gradient(self, weights: Tensor, gradient: Tensor) -> None:
        """Called with each step's gradient, before it is clipped."""

    def after_step(self, weights: Tensor, learning_rate: float) -> None:
        """Called after each optimiser step."""

    def finish(self, end: State, steps: int, learning_rate: float) -> LocalResult:
        """The reply after `steps` optimiser steps at `learning_rate` ended in `end`."""
        return LocalResult(end - self.start, {}, {})
