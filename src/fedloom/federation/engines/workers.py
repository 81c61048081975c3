"""Jobs for workers: a message for one client, and what comes back. Workers are this process, processes of this machine, or Ray actors."""

from __future__ import annotations

import threading
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


MOST_LOST = 2
"""Workers that a client's jobs may cost one after another: a job whose worker died is done again by another, and after that no more."""


class LostWorkers:
    """The workers that died over each client's jobs, since its last job that was done. Used by several threads at once."""

    def __init__(self) -> None:
        self._lost: dict[str, list[str]] = {}
        self._gate = threading.Lock()

    def add(self, client: str, how: str) -> None:
        """A worker died over a job of `client`; `how` it ended."""
        with self._gate:
            self._lost.setdefault(client, []).append(how)

    def forget(self, client: str) -> None:
        """A job of `client` is done."""
        with self._gate:
            self._lost.pop(client, None)

    def refusal(self, client: str) -> str | None:
        """Why the jobs of `client` are not done any more; None while they are."""
        with self._gate:
            lost = self._lost.get(client, [])
        if len(lost) < MOST_LOST:
            return None
        return f"{MOST_LOST} worker processes died over it, one after another ({', '.join(lost)}); it is left out of the rest of this run"


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
