"""The prepare and finish hooks: registered steps that run once, on every client before training or on the server after it.

A step is a dataclass whose fields are its settings.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np

from fedloom.data.records import Example
from fedloom.registry import Registry
from fedloom.state import State


class PrepareStep(Protocol):
    """Turns what a client has into what it trains on. Runs at the client; what it returns stays there."""

    def apply(self, client: str, examples: Sequence[Example], stream: np.random.Generator) -> Sequence[Example]: ...


class FinishStep(Protocol):
    """Works on the joined state before it is handed out."""

    def apply(self, state: State) -> State: ...


prepare_steps: Registry[Any] = Registry("prepare step")
finish_steps: Registry[Any] = Registry("finish step")
