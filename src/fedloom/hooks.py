"""The hooks that other packages and files hang parts on, each a registry of dataclasses whose fields are their settings.

Prepare and finish steps run once, on every client before training or on the server after it; probes measure the joined model on the server;
a behaviour is what malicious clients do in a red-team run.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import torch

from fedloom.data.records import Conversation
from fedloom.registry import Registry
from fedloom.state import State

if TYPE_CHECKING:
    from fedloom.workshop import Workshop


class PrepareStep(Protocol):
    """Turns what a client has into what it trains on. Runs at the client; what it returns stays there."""

    def apply(self, client: str, examples: Sequence[Conversation], stream: np.random.Generator) -> Sequence[Conversation]: ...


class FinishStep:
    """Works on the joined state before it is handed out. `workshop` holds the run's model and tokenizer."""

    def check(self, workshop: Workshop) -> None:
        """Raise a FedloomError, before anything is trained, when the step cannot be taken."""

    def apply(self, state: State, workshop: Workshop) -> State:
        """The state that is handed out. A FedloomError here is told at the run's end, and the state is handed out as it was."""
        raise NotImplementedError


class Probe:
    """Measures a state on the server, on public prompts."""

    def measure(self, state: State, workshop: Workshop) -> Mapping[str, float]:
        """name -> value, recorded as probe/SYSTEM/NAME."""
        raise NotImplementedError

    def asked(self, workshop: Workshop) -> Sequence[str]:
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


prepare_steps: Registry[Any] = Registry("prepare step")
finish_steps: Registry[Any] = Registry("finish step")
probes: Registry[Any] = Registry("probe")
behaviours: Registry[Any] = Registry("behaviour")
