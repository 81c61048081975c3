"""Examples: a conversation with a provenance label that decides where its text may go."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum


class Provenance(StrEnum):
    """Where an example comes from. Only PRIVATE and UNALIGNED text is bound to its client."""

    PRIVATE = "private"
    PUBLIC = "public"
    SYNTHETIC = "synthetic"
    DP_RELEASED = "dp_released"
    UNALIGNED = "unaligned"

    @property
    def may_leave(self) -> bool:
        return self not in (Provenance.PRIVATE, Provenance.UNALIGNED)


@dataclass(frozen=True)
class Turn:
    """One message of a conversation. `role` is system, user or assistant."""

    role: str
    content: str


@dataclass(frozen=True, repr=False)
class Conversation:
    """A conversation whose assistant turns are what a model learns to say.

    `fields` are the row's other columns as text (owner, language, label ...): what partitioners split by. `alternatives` are further
    answers that count as right. `rejected` is an answer to the same prompt that was found worse than the response: with it, the example
    is a preference pair. The representation never shows text, so that no log or traceback can.
    """

    turns: tuple[Turn, ...]
    provenance: Provenance
    fields: Mapping[str, str] = field(default_factory=dict)
    alternatives: tuple[str, ...] = ()
    rejected: str | None = None

    @property
    def response(self) -> str:
        """The last assistant turn."""
        return next((turn.content for turn in reversed(self.turns) if turn.role == "assistant"), "")

    @property
    def prompt(self) -> tuple[Turn, ...]:
        """All turns before the last assistant turn."""
        last = max((i for i, turn in enumerate(self.turns) if turn.role == "assistant"), default=len(self.turns))
        return self.turns[:last]

    def __repr__(self) -> str:
        return f"Conversation({len(self.turns)} turns, {self.provenance})"
