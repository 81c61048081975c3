"""What an algorithm is: a server half that joins updates into a step, and a client half that shapes local training.

Algorithms see named tensors only. A registered algorithm is a dataclass: its init fields are its settings in a recipe.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Annotated, ClassVar, Literal

from pydantic import Field
from torch import Tensor

from fedloom.errors import FedloomError
from fedloom.registry import Registry
from fedloom.state import State

Variant = Annotated[
    Literal["paper_code", "textbook"],
    Field(description="paper_code: what the published code does; textbook: the form of the cited paper"),
]


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


@dataclass
class Algorithm:
    """Weighted averaging of updates, and the frame of every other rule.

    `start(state)` once; per round `add(update, weight=n_i)` for each client as its reply arrives, then `step()`. The weighted mean is
    kept as one running sum, so that memory does not grow with the number of clients.
    """

    needs_clients: ClassVar[int] = 1
    """Replies that the rule needs at the least in a round."""

    state: State = field(init=False, repr=False)
    _sum: State | None = field(init=False, default=None, repr=False)
    _weight: float = field(init=False, default=0.0, repr=False)

    def start(self, state: State, clients: int = 1) -> None:
        """Begin from the global `state`; `clients` is N, the number of clients in the federation."""
        self.state = state.clone()
        self._reset()

    def add(self, update: State, weight: float = 1.0, extras: Mapping[str, State] | None = None) -> None:
        """Take in one client's `update` = w_i - w with its `weight` n_i. Raises FedloomError for a weight that is not positive."""
        if not weight > 0:
            raise FedloomError(f"the weight of an update should be positive, got {weight}")
        scale = self.weight_of(weight)
        if self._sum is None:
            self._sum = State(update.layout, update.flat * scale)
        else:
            self._sum.add_(update, scale)
        self._weight += scale

    def step(self) -> State:
        """The new global state: w + server_update(weighted mean of the updates). Raises FedloomError without updates."""
        if self._sum is None:
            raise FedloomError("there is no update to aggregate in this round")
        mean = State(self._sum.layout, self._sum.flat.div_(self._weight))
        self.state = self.state + self.server_update(mean)
        self._reset()
        return self.state

    def weight_of(self, examples: float) -> float:
        """The weight of a client that holds `examples` rows, before normalisation: p_i = n_i / sum n_j."""
        return examples

    def server_update(self, mean: State) -> State:
        """What is added to the global state, given the mean update."""
        return mean

    def broadcast(self) -> Mapping[str, State]:
        """Extra states that every drawn client receives this round, by name."""
        return {}

    def client(self, start: State, received: Mapping[str, State], memory: Mapping[str, State]) -> ClientHalf:
        """The client's half for one round that starts from `start`."""
        return ClientHalf(start, received, memory)

    def server_memory(self) -> dict[str, State]:
        """States that a checkpoint must hold beside the global one."""
        return {}

    def restore(self, memory: Mapping[str, State]) -> None:
        """Take back what `server_memory` gave."""

    def _reset(self) -> None:
        self._sum, self._weight = None, 0.0


algorithms: Registry[type[Algorithm]] = Registry("algorithm")

