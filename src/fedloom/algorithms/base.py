"""What an algorithm is: a server half that joins updates into a step, and a client half that shapes local training.

Algorithms see named tensors only. A registered algorithm is a dataclass: its init fields are its settings in a recipe.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Annotated, ClassVar, Literal

from pydantic import Field
from torch import Tensor

from fedloom.algorithms.client import ClientHalf
from fedloom.algorithms.ffa import FrozenA, without_a
from fedloom.algorithms.lora import ProductMean, lora_pairs, rank_of, truncate
from fedloom.algorithms.ranks import NarrowRank, narrowed
from fedloom.algorithms.statistics import HeldStatistics, StatisticsMean
from fedloom.errors import FedloomError, RecipeError
from fedloom.registry import Registry
from fedloom.state import Layout, State, with_possible_variances

Variant = Annotated[
    Literal["paper_code", "textbook"],
    Field(description="paper_code: what the published code does; textbook: the form of the cited paper"),
]
Aggregate = Annotated[
    Literal["average_factors", "ffa", "refactor"],
    Field(
        description="average_factors: the LoRA factors A and B are averaged each for itself; ffa: A stays at its start, B alone is trained"
        " (FFA-LoRA); refactor: the products BA are averaged exactly, then brought back to the rank (fedavg, fedprox, local, centralized)"
    ),
]


Ranks = Annotated[
    dict[str, Annotated[int, Field(ge=1)]],
    Field(description="client -> LoRA rank, for clients of a smaller rank than model.adapter.rank; with aggregate refactor"),
]


@dataclass(frozen=True)
class Contribution:
    """One client's checked part in a round, as `Algorithm.add` took it."""

    update: State
    weight: float
    extras: Mapping[str, State]
    report: Mapping[str, float]
    client: str


@dataclass
class Algorithm:
    """Weighted averaging of updates, and the base class of every other algorithm.

    `start(state)` once; per round `add(update, weight=n_i)` for each client as its reply arrives, then `step()`. The weighted mean is
    kept as one running sum, so that memory does not grow with the number of clients.
    """

    needs_extras: ClassVar[tuple[str, ...]] = ()
    """States that every client must send beside its update."""

    needs_report: ClassVar[tuple[str, ...]] = ()
    """Positive numbers that every client must report: `steps`, the optimiser steps it took; `loss_before`, the mean loss over its rows at
    the weights it received."""

    takes_late: ClassVar[bool] = False
    """Whether the rule takes replies to work of earlier rounds. It then counts its server steps in `steps_taken`, and the report of every
    reply holds its `staleness`, the steps that were taken since its work was handed out."""

    short_setting: ClassVar[str | None] = None
    """The setting that a recipe may write behind the name: `local:3`."""

    joins_by_mean: ClassVar[bool] = False
    """Whether the new state depends on the updates of a round through their mean alone: noise on one of them is then noise on the sum."""

    joins_statistics: ClassVar[bool] = False
    """Whether the rule joins running statistics of BatchNorm as it joins weights. Else they are averaged beside it, by n_i."""

    refactors: ClassVar[bool] = False
    """Whether the rule is a plain weighted mean, so that products can be averaged in place of factors. Factors that are made anew have new
    coordinates every round, in which momentum, control variates and distances of the rounds before mean nothing."""

    measured_with_memory: ClassVar[bool] = False
    """Whether a client is measured with something of its own memory: `at_client` puts it into the global state. What a run hands out is
    without it: no whole model, which could be asked something."""

    variant: Variant = field(default="paper_code", kw_only=True)
    aggregate: Aggregate = field(default="average_factors", kw_only=True)
    ranks: Ranks = field(default_factory=dict, kw_only=True)
    state: State = field(init=False, repr=False)
    steps_taken: int = field(init=False, default=0, repr=False)
    _sum: State | None = field(init=False, default=None, repr=False)
    _products: ProductMean | None = field(init=False, default=None, repr=False)
    _statistics: StatisticsMean | None = field(init=False, default=None, repr=False)
    _divisor: float = field(init=False, default=0.0, repr=False)
    _replies: int = field(init=False, default=0, repr=False)

    def __post_init__(self) -> None:
        if self.aggregate == "refactor" and not self.refactors:
            able = ", ".join(name for name in algorithms.names() if algorithms.get(name).refactors)
            raise RecipeError(f"algorithm.aggregate: refactor goes with {able} only; write average_factors or ffa")
        if self.ranks and self.aggregate != "refactor":
            raise RecipeError("algorithm.ranks: factors of different ranks have no average; write aggregate: refactor")

    @property
    def needs_clients(self) -> int:
        """Replies that the rule, with its settings, needs at the least in a round."""
        return 1

    def start(self, state: Mapping[str, Tensor], clients: int = 1) -> None:
        """Begin from the global `state`, a State or plain tensors by name; `clients` is N, the number of clients in the federation."""
        self.state = State.of(state)
        if self.aggregate != "average_factors" and not lora_pairs(self.state):
            raise RecipeError(f"algorithm.aggregate: {self.aggregate} needs a LoRA adapter, and none is trained; write average_factors")
        for client, rank in self.ranks.items():
            if rank > (largest := rank_of(self.state.layout)):
                raise RecipeError(f"algorithm.ranks: client '{client}' has rank {rank}, but model.adapter.rank is {largest}; raise that")
        self.clear_round()

    def add(
        self,
        update: Mapping[str, Tensor],
        weight: float = 1.0,
        extras: Mapping[str, State] | None = None,
        report: Mapping[str, float] | None = None,
        client: str = "",
    ) -> None:
        """Take in one client's `update` = w_i - w with its `weight` n_i, its `extras` and the numbers it reports.

        With aggregate refactor a client may have a smaller LoRA rank r_i: its w is `lora.truncate(w, r_i)`. Raises FedloomError when
        something does not fit; the round's sums are then as before, and the round can go on without this client.
        """
        update = update if isinstance(update, State) else State.of(update)
        self._check(Contribution(update, weight, extras or {}, report or {}, client))
        if self.aggregate == "ffa":
            update = without_a(update)
        given = update if self._statistics is None else self._statistics.without(update)
        self.accumulate(Contribution(given, weight, extras or {}, report or {}, client))
        if self._statistics is not None:
            self._statistics.add(update, weight)
        self._replies += 1

    @property
    def left_over(self) -> int:
        """Updates that were taken in and wait for a server step."""
        return self._replies

    def step(self) -> State:
        """The new global state: w + server_update(mean of the updates). Raises FedloomError with too few updates."""
        if self._replies < self.needs_clients:
            raise FedloomError(f"{type(self).__name__} needs {self.needs_clients} or more updates in a round, got {self._replies}")
        state = self.state + self.server_update(self._mean())
        self.state = with_possible_variances(state if self._statistics is None else self._statistics.moved(state))
        self.clear_round()
        return self.state

    @property
    def result(self) -> State:
        """What is measured and handed out after the last step: the global state, unless the rule makes another of it."""
        return self.state

    def accumulate(self, contribution: Contribution) -> None:
        """Add one checked contribution to the round's sums. Further sums of a rule belong here; `clear_round` empties them."""
        factor, divisor = self.share(contribution)
        if self.aggregate == "refactor":
            self._products = self._products or ProductMean(self.state)
            self._products.add(contribution.update, factor)
        elif self._sum is None:
            self._sum = State(contribution.update.layout, contribution.update.flat * factor)
        else:
            self._sum.add_(contribution.update, factor)
        self._divisor += divisor

    def share(self, contribution: Contribution) -> tuple[float, float]:
        """a_i and b_i of the mean: (sum_i a_i update_i) / (sum_i b_i). Both n_i here, so that p_i = n_i / sum_j n_j."""
        return contribution.weight, contribution.weight

    def server_update(self, mean: State) -> State:
        """What is added to the global state, given the mean update."""
        return mean

    def clear_round(self) -> None:
        """Empty the round's sums."""
        self._sum, self._products, self._divisor, self._replies = None, None, 0.0, 0
        beside = self.state.layout.statistics and not self.joins_statistics
        self._statistics = StatisticsMean(self.state.layout) if beside else None

    def trainers(self, owners: Sequence[str]) -> Mapping[str, Sequence[str]] | None:
        """Who trains in every round, and on whose rows: client -> owners. None: each owner is a client, and each round draws among them."""
        return None

    def broadcast(self) -> Mapping[str, State]:
        """Extra states that every drawn client receives this round, by name."""
        return {}

    def client_half(self, start: State, received: Mapping[str, State], memory: Mapping[str, State]) -> ClientHalf:
        """The client's half for one round that starts from `start`."""
        return ClientHalf(start, received, memory)

    def local_training(self, start: State, received: Mapping[str, State], memory: Mapping[str, State], client: str = "") -> ClientHalf:
        """What changes a client's local training: its `client_half`, with A held under aggregate ffa, and with its own rank of `ranks`.

        Training begins from the `start` of what is returned.
        """
        rank = self.ranks.get(client)
        half = self.client_half(start if rank is None else narrowed(start, rank), received, memory)
        if start.layout.statistics:
            half = HeldStatistics(half)
        if rank is not None:
            return NarrowRank(half, rank)
        return FrozenA(half) if self.aggregate == "ffa" else half

    def at_client(self, state: State, memory: Mapping[str, State]) -> State:
        """What a client with this `memory` is measured with, `state` being the global one, where `measured_with_memory`."""
        return state

    def layout_of(self, client: str) -> Layout:
        """The layout of the update that `client` sends."""
        rank = self.ranks.get(client)
        return self.state.layout if rank is None else truncate(self.state, rank).layout

    def server_memory(self) -> dict[str, State]:
        """States that a checkpoint must hold beside the global one."""
        return {}

    def restore(self, memory: Mapping[str, State]) -> None:
        """Take back what `server_memory` gave, or nothing before the first round; called after `start` with the checkpoint's state."""

    def _check(self, contribution: Contribution) -> None:
        rule = type(self).__name__
        if not 0 < contribution.weight < math.inf:
            raise FedloomError(f"the weight of an update should be a positive number, got {contribution.weight}")
        if problem := self._layout_for(contribution.update).difference(contribution.update.layout):
            raise FedloomError(f"the update does not fit the global state: {problem}")
        for name in self.needs_extras:
            if name not in contribution.extras:
                raise FedloomError(f"{rule} needs the state '{name}' beside every update")
            if problem := self.state.layout.difference(contribution.extras[name].layout):
                raise FedloomError(f"the state '{name}' does not fit the global state: {problem}")
        for name in self.needs_report:
            if not 0 < contribution.report.get(name, 0.0) < math.inf:
                raise FedloomError(f"{rule} needs a positive '{name}' in every client's report, got {contribution.report.get(name)}")

    def _layout_for(self, update: State) -> Layout:
        """The layout that `update` should have: the global one, or that of the update's own LoRA rank under aggregate refactor."""
        rank = rank_of(update.layout)
        narrower = self.aggregate == "refactor" and 0 < rank < rank_of(self.state.layout)
        return truncate(self.state, rank).layout if narrower else self.state.layout

    def _mean(self) -> State:
        """The mean of the round's updates."""
        if self._products is not None:
            return self._products.update(self._divisor)
        assert self._sum is not None, "a rule that keeps other sums overrides step"
        return State(self._sum.layout, self._sum.flat.div_(self._divisor))


algorithms: Registry[type[Algorithm]] = Registry("algorithm", Algorithm)
