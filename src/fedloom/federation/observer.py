"""What a run tells whoever watches it. The console's live table is one observer; a library user may pass another."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from fedloom.plan import Plan


class Observer:
    """Watches a run; this one says nothing."""

    def plan(self, plan: Plan) -> None:
        """What the run will do, before it begins."""

    def stage(self, name: str, total: int) -> None:
        """A stage of `total` client works begins: a round, an evaluation, a baseline."""

    def client_done(self, stage: str, client: str, failure: str | None) -> None:
        """A client has answered in this stage, or failed for a reason."""

    def metric(self, round_number: int | None, client: str | None, name: str, value: float) -> None:
        """A measure was recorded."""

    def note(self, text: str) -> None:
        """Something a user should know of; one line."""
