"""The hooks: registries of prepare steps, finish steps, probes and behaviours, dataclasses whose fields are their settings.

Prepare steps run once at every client before training, finish steps once on the server after it. Probes measure the joined model on the
server. A behaviour is what malicious clients do in a red-team run.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch

from fedloom.data.generated_rows import MIX, Order
from fedloom.data.records import Conversation, Document, Picture, Provenance, Record
from fedloom.measures import Measure
from fedloom.models.bench import Bench
from fedloom.models.encoders import Encoder
from fedloom.recipe import Recipe
from fedloom.registry import Registry
from fedloom.state import State
from fedloom.streams import numpy_stream


@dataclass(frozen=True)
class ServerSide:
    """What probes and finish steps work with: the recipe, and the server's own model with its encoder and its trained parameters.

    `start` is the state before round 1, `clients` are the names of the owners. `says` is the provenance of what the joined model says:
    PUBLIC where all rows that it was trained on are, DP_RELEASED where they were protected by formal privacy, else PRIVATE, since it could
    say text of such a row. `updated` gives (client, its own model of the last round), in a run whose finish steps ask for them.
    `progress(what, done, total, pace)` tells how far a long step is, as that of a prepare step does.
    """

    recipe: Recipe
    bench: Bench
    start: State
    clients: Sequence[str] = ()
    says: Provenance = Provenance.PRIVATE
    updated: Callable[[], Iterator[tuple[str, State]]] = lambda: iter(())
    progress: Callable[[str, int, int, str], None] = lambda what, done, total, pace: None


@dataclass(frozen=True)
class PrepareContext:
    """What a prepare step has at its client.

    `records` are the rows that the steps before have given, `stream` is the client's own for this step. `bench` lends the model. `cache` is
    a folder that is the same whenever data, steps and seed are, so that work that is kept there is not done again. `progress(done, total,
    pace)` tells how far the step is, `pace` being words such as "24 tokens/s". `told` are the numbers that the server sent for this client,
    when the step exchanges counts, and `sent` the public rows that it sent to all. `held_out`: the
    records are those that are measured, which may come to nothing. `labels` are those that the task chooses from, where it classifies.
    `under_privacy`: the run has differential privacy, and not even a refusal may tell of the rows.
    """

    client: str
    records: Sequence[Record]
    stream: np.random.Generator
    bench: Bench
    cache: Path
    progress: Callable[[int, int, str], None]
    told: Mapping[str, float] = field(default_factory=dict)
    sent: Sequence[Conversation] = ()
    held_out: bool = False
    labels: Sequence[str] = ()
    under_privacy: bool = False


@dataclass(frozen=True)
class Prepared:
    """The rows that a prepare step gives, and how many it left out for which reason (a short name such as too_short).

    `measured` is what it measured of its work, by the names of its `measures`. `weight` is what the client counts for when updates are
    averaged; null: its rows. `shown` are rows with the PUBLIC records that they were made from, for the report, and `pictures` PUBLIC ones
    and SYNTHETIC ones of a client all of whose rows are PUBLIC. The last `generated` of the
    records were made beside the client's own, and are trained on in this `order`.
    """

    records: Sequence[Record]
    left_out: Mapping[str, int] = field(default_factory=dict)
    measured: Mapping[str, float] = field(default_factory=dict)
    weight: float | None = None
    shown: Sequence[tuple[Conversation, Document]] = ()
    generated: int = 0
    order: Order = MIX
    pictures: Sequence[Picture] = ()


def step_stream(seed: int, number: int, client: str) -> np.random.Generator:
    """The stream of the prepare step `number` at `client`."""
    return numpy_stream(seed, "prepare", number, client)


class PrepareStep:
    """Turns what a client has into what it trains on. Runs at the client, and its rows stay there."""

    exchanges: ClassVar[bool] = False
    """Whether the step sends counts up, and works only when the server has answered to those of all clients."""

    row_by_row: ClassVar[bool] = False
    """Whether each row that it gives is made of one row alone, or of none, and no row makes two: what protects a row after such a step
    protects it before. What the client counts for stays as the step before has said, unless it says otherwise."""

    measures: ClassVar[tuple[Measure, ...]] = ()
    """What it measures of its work at each client, recorded as prepare/STEP/NAME."""

    @property
    def counts_rows(self) -> bool:
        """Of a step that exchanges: whether what it sends up tells of the client's rows."""
        return True

    @property
    def noise_on_counts(self) -> float | None:
        """Under privacy of rows: the standard deviation of the noise on each number that it sends up, where a row changes one of them, by
        1. None: it cannot be taken then."""
        return None

    @property
    def for_privacy(self) -> str:
        """What a user does, who wants privacy of rows with a step that does not go with it, in words for the end of an error."""
        return "leave it out"

    def check(self, server: ServerSide) -> None:
        """Raise a FedloomError, before anything is started, when the step cannot be taken."""

    def counts(self, context: PrepareContext) -> Mapping[str, float]:
        """What a step that exchanges sends up: numbers by short names (small letters, digits, _ and /).

        All steps count before the first one works, so that `context.records` are the client's rows as it has them.
        """
        return {}

    def plan(self, counts: Mapping[str, Mapping[str, float]]) -> Mapping[str, Mapping[str, float]]:
        """On the server: the numbers that each client is told, from the counts of all clients."""
        return {client: {} for client in counts}

    def preview(self, records: Sequence[Record], encoder: Encoder) -> Mapping[str, int]:
        """What a look at a client's `records` counts before the step works, such as pieces and tokens, by short names."""
        return {}

    def sends(self) -> Sequence[Conversation]:
        """On the server: the PUBLIC rows that it sends to every client, such as examples to write by."""
        return ()

    def described(self) -> Mapping[str, Any]:
        """What the manifest of a run says of the step beside its settings, such as versions of prompts: plain values."""
        return {}

    def apply(self, context: PrepareContext) -> Prepared:
        """The client's rows after the step."""
        raise NotImplementedError


@dataclass(frozen=True)
class Finished:
    """The state that a finish step gives, and what it measured of its work (recorded as finish/STEP/NAME).

    `rows` are made-up rows that it trained on, none of which is PRIVATE, and `rejected` those that it did not, each with the reason in its
    field `reason`: both are handed out with the model.
    """

    state: State
    measured: Mapping[str, float] = field(default_factory=dict)
    rows: Sequence[Conversation] = ()
    rejected: Sequence[Conversation] = ()


class FinishStep:
    """Works on the joined state before it is handed out."""

    measures: ClassVar[tuple[Measure, ...]] = ()
    """What it measures of its work."""

    @property
    def needs_updates(self) -> bool:
        """Whether it works with each client's own model of the last round (`ServerSide.updated`), and not with the joined one alone."""
        return False

    def check(self, server: ServerSide) -> None:
        """Raise a FedloomError, before anything is trained, when the step cannot be taken."""

    def described(self) -> Mapping[str, Any]:
        """What the manifest of a run says of the step beside its settings, such as versions of prompts: plain values."""
        return {}

    def apply(self, state: State, server: ServerSide) -> Finished:
        """The state that is handed out. A FedloomError here is told at the run's end, and the state is handed out as it was."""
        raise NotImplementedError


class Probe:
    """Measures a state on the server, on public prompts."""

    def measures(self) -> Sequence[Measure]:
        """What it measures, in the order in which it is shown."""
        raise NotImplementedError

    def check(self, server: ServerSide) -> None:
        """Raise a FedloomError, before anything is trained, when the run's model cannot be measured so."""

    def measure(self, state: State, server: ServerSide) -> Mapping[str, float]:
        """The value of each measure, recorded as probe/SYSTEM/NAME. One that cannot be had is left out."""
        raise NotImplementedError

    def asked(self, server: ServerSide) -> Sequence[str]:
        """The prompts that it asks: what is made to train on, such as the rows of a repair, leaves them out."""
        return ()


class Behaviour:
    """What a malicious client does. This one does nothing; a behaviour overrides one of the changes."""

    def change_rows(self, client: str, rows: Sequence[Conversation], stream: np.random.Generator) -> Sequence[Conversation]:
        """What it trains on in place of `rows`."""
        return rows

    def requests(self) -> Collection[str]:
        """The requests of its own that it draws from. They are neither asked by a probe nor trained on by a repair."""
        return ()

    def change_update(self, update: State, stream: torch.Generator) -> State:
        """What it sends in place of `update`."""
        return update


prepare_steps: Registry[Any] = Registry("prepare step", PrepareStep)
finish_steps: Registry[Any] = Registry("finish step", FinishStep)
probes: Registry[Any] = Registry("probe", Probe)
behaviours: Registry[Any] = Registry("behaviour", Behaviour)
