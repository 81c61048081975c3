"""Engine: how work reaches the clients. The round loop knows this and nothing of processes, machines or networks."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

from fedloom.registry import Registry


@dataclass(frozen=True)
class Assignment:
    """Work for one client: the bytes of a message of `kind` train or evaluate."""

    client: str
    kind: str
    round: int
    message: bytes


@dataclass(frozen=True)
class Reply:
    """What came back: the bytes of a message, or the reason why there is none. A failure is a reply."""

    client: str
    message: bytes | None
    error: str | None = None


class Engine(Protocol):
    def clients(self) -> Sequence[str]:
        """Names of all clients, in the federation's order."""
        ...

    def dispatch(self, assignments: Iterable[Assignment], deadline: float) -> Iterator[Reply]:
        """One reply for each assignment, as they arrive. A client that takes longer than `deadline` seconds is a failure.

        Assignments are taken one by one as there is room for them, so that their messages need not all be in memory.
        """
        ...


engines: Registry[object] = Registry("engine")
