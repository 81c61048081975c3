"""The local engine: all sites on this machine, one after another in this process, or side by side in worker processes."""

from __future__ import annotations

import threading
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import chain, islice
from pathlib import Path

from fedloom.federation.bodies import Holding
from fedloom.federation.engine import Assignment, Reply
from fedloom.federation.engines.workers import Job, Outcome, Workers
from fedloom.federation.messages import peek
from fedloom.federation.preparing import PreparedRecords
from fedloom.federation.site import Site, SiteData
from fedloom.models.bench import Bench

ON_ROWS = ("train", "evaluate")
"""Kinds of work that need a site's encoded rows alone, which any worker of this machine can read."""


class LocalSites:
    """All sites of a run in this process, at one bench; one works at a time. Also the workers of a run that has no others."""

    def __init__(self, bench: Bench, folder: Path, data: Mapping[str, SiteData], progress: Callable[[str, int, int, str], None]) -> None:
        self.folder = folder
        self._bench = bench
        self._turn = threading.RLock()
        self._progress = progress
        self._data = dict(data)
        self._sites = {name: self._site(name, partial(self._data.__getitem__, name)) for name in data}

    @property
    def owners(self) -> list[str]:
        return list(self._data)

    def prepared(self, owner: str) -> PreparedRecords:
        """An owner's records: for what needs all rows in one place, and exists only where one process holds all sites."""
        return self._sites[owner].prepared()

    def answer(self, client: str, message: bytes) -> bytes:
        with self._turn:
            return self._sites[client].answer(message)

    def pool(self, trainer: str, owners: Sequence[str], left_out: Collection[str]) -> None:
        """Add a site that trains on the prepared rows of `owners` together, but for those `left_out`."""
        if trainer not in self._sites:
            self._sites[trainer] = self._site(trainer, lambda: self._pooled([owner for owner in owners if owner not in left_out]))

    def size(self, client: str, message: bytes) -> float:
        """How long the work that `message` asks for takes beside other work."""
        kind, _, envelope = peek(message)
        return self._sites[client].work_size(kind, envelope)

    def run(self, jobs: Iterable[Job]) -> Iterator[tuple[Job, Outcome]]:
        for job in jobs:
            yield job, Outcome(self.answer(job.client, job.message))

    def close(self) -> None:
        """Nothing to end."""

    def _site(self, name: str, data: Callable[[], SiteData]) -> Site:
        return Site(name, self.folder / name, self._bench, data, partial(self._progress, name), trusted=True)

    def _pooled(self, owners: Sequence[str]) -> SiteData:
        records = [record for owner in owners for record in self._sites[owner].prepared().train]
        start = next(iter(self._data.values())).start
        return SiteData(records, [], Holding({"train": len(records), "held_out": 0}), start, prepared=True)


@dataclass(frozen=True)
class LocalEngine:
    """The clients `trainers` among the sites of this machine.

    `workers` do what needs encoded rows alone; everything else is done in this process.
    """

    sites: LocalSites
    workers: Workers
    trainers: Sequence[str]

    def clients(self) -> Sequence[str]:
        return self.trainers

    def dispatch(self, assignments: Iterable[Assignment], deadline: float) -> Iterator[Reply]:
        """A client's `deadline` runs from when it begins: on one machine clients queue, and that is not their fault."""
        coming = iter(assignments)
        first = next(coming, None)
        if first is None:
            return
        coming = chain([first], coming)
        if first.kind not in ON_ROWS:
            for assignment in coming:
                yield Reply(assignment.client, self.sites.answer(assignment.client, assignment.message))
            return
        jobs = (Job(one.client, one.message, self.sites.size(one.client, one.message), deadline) for one in coming)
        for job, outcome in self.workers.run(longest_first(jobs)):
            yield Reply(job.client, outcome.message, outcome.error)

    def late_replies(self, round_number: int) -> Iterator[Reply]:
        """None: a client that is not done at its deadline has failed."""
        return iter(())


def longest_first(jobs: Iterable[Job], block: int = 8) -> Iterator[Job]:
    """`jobs`, the longest of each `block` first: a long job that begins last leaves the other workers idle.

    Blocks are short, since their messages, and the replies that wait for those before them, are in memory.
    """
    coming = iter(jobs)
    while some := list(islice(coming, block)):
        yield from sorted(some, key=lambda job: job.size, reverse=True)
