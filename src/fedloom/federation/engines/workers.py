"""Jobs for workers: a message for one client, and what comes back. Workers are this process, processes of this machine, or Ray actors."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from fedloom.federation.site import Site
from fedloom.models.bench import Bench


@dataclass(frozen=True)
class Job:
    """A message for the site `client`.

    `size` is how long it takes beside others. A worker that is silent for `deadline` seconds is ended.
    """

    client: str
    message: bytes
    size: float
    deadline: float


@dataclass(frozen=True)
class Outcome:
    """The bytes of the site's reply, or why there is none."""

    message: bytes | None
    error: str | None = None


class Workers(Protocol):
    """Does jobs; outcomes come as they are ready."""

    def run(self, jobs: Iterable[Job]) -> Iterator[tuple[Job, Outcome]]: ...

    def close(self) -> None: ...


class SitesOnBench:
    """The sites under `folder` at one bench, which train and measure the rows that were prepared there."""

    def __init__(self, bench: Bench, folder: Path) -> None:
        self._bench = bench
        self._folder = folder
        self._sites: dict[str, Site] = {}

    def do(self, job: Job) -> Outcome:
        if job.client not in self._sites:
            self._sites[job.client] = Site(job.client, self._folder / job.client, self._bench, trusted=True)
        return Outcome(self._sites[job.client].answer(job.message))
