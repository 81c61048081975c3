"""Engine: how work reaches the clients. The round loop knows this and nothing of processes, machines or networks."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True)
class Assignment:
    """Work for one client: the bytes of a message of `kind` train or evaluate."""

    client: str
    kind: str
    round: int
    message: bytes


@dataclass(frozen=True)
class Reply:
    """What came back: the bytes of a message, or the reason why there is none. A failure is a reply.

    `round` is the round in which the work was handed out; None: the one under way. With neither message nor error the client is still at
    work, and its reply comes in a later round.
    """

    client: str
    message: bytes | None
    error: str | None = None
    round: int | None = None

    @property
    def still_at_work(self) -> bool:
        return self.message is None and self.error is None


class Engine(Protocol):
    def clients(self) -> Sequence[str]:
        """Names of all clients, in the federation's order."""
        ...

    def dispatch(self, assignments: Iterable[Assignment], deadline: float) -> Iterator[Reply]:
        """One reply for each assignment, as they arrive. A client that takes longer than `deadline` seconds is a failure.

        Assignments are taken one by one as there is room for them, so that their messages need not all be in memory.
        """
        ...

    def late_replies(self, round_number: int) -> Iterator[Reply]:
        """What has come in by `round_number` of work that was handed out in earlier rounds, in an order that does not depend on speed."""
        ...
