"""What a run tells whoever watches it. The console's live table is one observer; a library user may pass another."""

from __future__ import annotations

from dataclasses import dataclass

from fedloom.measures import Measure


@dataclass(frozen=True)
class Plan:
    """What a run will do, said before it starts: lines for a reader, the rounds, what is measured on held-out rows, and estimates.

    `seconds` and `traffic_bytes` are estimates for the whole run, baselines included in `seconds`.
    """

    name: str
    lines: tuple[tuple[str, str], ...]
    rounds: int
    seconds: float
    traffic_bytes: int
    measures: tuple[Measure, ...] = ()


class Observer:
    """Watches a run; this one says nothing."""

    def plan(self, plan: Plan) -> None:
        """What the run will do, before it begins."""

    def stage(self, name: str, total: int) -> None:
        """A stage begins in which `total` clients work: a round, an evaluation, a baseline."""

    def client_done(self, stage: str, client: str, failure: str | None) -> None:
        """A client has answered in this stage, or failed for a reason."""

    def client_progress(self, client: str, done: int, total: int, pace: str) -> None:
        """A client has done `done` of `total` pieces of a long step, such as writing training data; `pace` is, say, "24 tokens/s"."""

    def metric(self, round_number: int | None, client: str | None, name: str, value: float) -> None:
        """A measure was recorded."""

    def note(self, text: str) -> None:
        """Something a user should know of; one line."""
