"""The local engine: all clients on this machine, one after another in this process, or side by side in worker processes."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Protocol

from fedloom.federation.engine import Assignment, Reply
from fedloom.federation.engines.jobs import Bench, Job, Outcome, work
from fedloom.federation.party import ClientRows
from fedloom.recipe import Recipe


class Workers(Protocol):
    """Does jobs; outcomes come as they are ready."""

    def run(self, jobs: Iterable[Job]) -> Iterator[tuple[Job, Outcome]]: ...

    def close(self) -> None: ...


class InProcess:
    """One bench in this process: one client at a time, with all cores."""

    def __init__(self, bench: Bench) -> None:
        self._bench = bench
        self._turn = threading.Lock()

    def run(self, jobs: Iterable[Job]) -> Iterator[tuple[Job, Outcome]]:
        for job in jobs:
            with self._turn:
                outcome = self._bench.do(job)
            yield job, outcome

    def close(self) -> None:
        """Nothing to end."""


@dataclass(frozen=True)
class LocalEngine:
    """The clients `trainers`, over shared `workers`; `rows` are what they, and others that are only measured on, hold.

    `folder` is where clients keep what is theirs.
    """

    workers: Workers
    recipe: Recipe
    rows: Mapping[str, ClientRows]
    trainers: Sequence[str]
    folder: Path

    def clients(self) -> Sequence[str]:
        return self.trainers

    def dispatch(self, assignments: Iterable[Assignment], deadline: float) -> Iterator[Reply]:
        """A client's `deadline` runs from when it begins: on one machine clients queue, and that is not their fault."""
        jobs = (self._job(assignment, deadline) for assignment in assignments)
        for job, outcome in self.workers.run(longest_first(jobs)):
            yield Reply(job.rows.name, outcome.message, outcome.error)

    def late_replies(self, round_number: int) -> Iterator[Reply]:
        """None: a client that is not done at its deadline has failed."""
        return iter(())

    def _job(self, assignment: Assignment, deadline: float) -> Job:
        rows = self.rows[assignment.client]
        return Job(self.recipe, rows, self.folder / rows.name, assignment.kind, assignment.round, assignment.message, deadline)


def longest_first(jobs: Iterable[Job], block: int = 8) -> Iterator[Job]:
    """`jobs`, the longest of each `block` first: a long job that begins last leaves the other workers idle.

    Blocks are short, since their messages, and the replies that wait for those before them, are in memory.
    """
    coming = iter(jobs)
    while some := list(islice(coming, block)):
        yield from sorted(some, key=work, reverse=True)
