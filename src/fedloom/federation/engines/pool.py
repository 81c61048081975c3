"""Worker processes of this machine: each has one model with the base weights mapped from one file, and does one job at a time.

Workers are started as programs of their own, not forked: a fork would inherit the thread pools of torch in a broken state, and Python's own
spawning would run the user's script again.
"""

from __future__ import annotations

import itertools
import math
import os
import queue
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from multiprocessing.connection import Connection, Pipe
from pathlib import Path

from torch import nn

from fedloom.errors import RunStoppedError
from fedloom.federation.engines.workers import Job, LostWorkers, Outcome
from fedloom.files import SCRATCH, remove, scratch_folder, unfinished
from fedloom.models.bench import BenchPlan
from fedloom.models.share import write_shared

GRACE = 60.0
"""Seconds after a client's deadline at which a silent worker is ended: a client checks the clock only between steps."""


class WorkerPool:
    """`workers` processes for the jobs of one run. Use as a context manager; processes start when first needed."""

    def __init__(self, model: nn.Module, plan: BenchPlan, sites: Path, workers: int, threads: int) -> None:
        self.workers = workers
        for left in unfinished(Path(tempfile.gettempdir()), SCRATCH, deep=False):
            remove(left)
        self._scratch = scratch_folder(Path(tempfile.gettempdir()), SCRATCH)
        self._weights = Path(self._scratch.name) / "base.safetensors"
        write_shared(model, self._weights)
        self._plan, self._sites, self._threads = plan, sites, threads
        self._jobs: queue.PriorityQueue[_Waiting] = queue.PriorityQueue()
        self._count = itertools.count()
        self._closing = threading.Event()
        self._gate = threading.Lock()
        self._lost = LostWorkers()
        self._live: set[subprocess.Popen[bytes]] = set()
        self._supervisors = [threading.Thread(target=self._supervise, daemon=True, name=f"worker-{i}") for i in range(workers)]
        for supervisor in self._supervisors:
            supervisor.start()

    def run(self, jobs: Iterable[Job]) -> Iterator[tuple[Job, Outcome]]:
        """Outcomes as they arrive. Takes a job from `jobs` when a worker can begin it soon; may be called from several threads at once.

        Raises RunStoppedError when the pool is closed meanwhile.
        """
        results: queue.Queue[tuple[Job, Outcome]] = queue.Queue()
        coming, pending = iter(jobs), 0
        while True:
            while pending < self.workers and (job := next(coming, None)) is not None:
                self._enter(job, results)
                pending += 1
            if not pending:
                return
            done = results.get()
            if self._closing.is_set():
                raise RunStoppedError("the run is stopping")
            yield done
            pending -= 1

    def close(self) -> None:
        """End the workers, and a job that is under way with them; whoever waits for a job hears of it. May be called twice."""
        with self._gate:
            self._closing.set()
            for _ in self._supervisors:
                self._jobs.put(_Waiting(math.inf, next(self._count), None))
        for process in list(self._live):
            process.kill()
        for supervisor in self._supervisors:
            supervisor.join()
        self._scratch.cleanup()

    def _enter(self, job: Job, results: queue.Queue[tuple[Job, Outcome]]) -> None:
        """Queue a job. One that comes after the pool was closed would wait for ever, since no supervisor is left to take it."""
        with self._gate:
            if not self._closing.is_set():
                self._jobs.put(_Waiting(-job.size, next(self._count), (job, results)))
                return
        results.put((job, Outcome(None, "the run is stopping")))

    def _supervise(self) -> None:
        """Hand job after job to one worker, and start another worker when that one is lost. Runs in a thread."""
        worker: _Worker | None = None
        while (item := self._jobs.get().item) is not None:
            job, results = item
            if self._closing.is_set():
                results.put((job, Outcome(None, "the run is stopping")))
                continue
            if refusal := self._lost.refusal(job.client):
                results.put((job, Outcome(None, refusal)))
                continue
            try:
                worker = worker or self._started()
            except OSError as error:  # of the machine, not of the client whose job it is
                results.put((job, Outcome(None, f"no worker process can be started ({error or type(error).__name__})")))
                continue
            outcome = _ask(worker, job)
            if isinstance(outcome, _Silent):
                self._end(worker)
                worker, outcome = None, Outcome(None, outcome.reason)
            elif isinstance(outcome, _Died):
                self._lost.add(job.client, f"exit code {self._end(worker)}")
                worker = None
                self._enter(job, results)  # another worker, or a new one, does it again
                continue
            else:
                self._lost.forget(job.client)
            results.put((job, outcome))
        if worker is not None:
            self._end(worker)

    def _started(self) -> _Worker:
        """A worker that has loaded the model. Raises OSError when it cannot be started, or dies before it is ready."""
        worker = _start(self._threads)
        self._live.add(worker.process)
        if self._closing.is_set():
            worker.process.kill()
        try:
            worker.line.send((self._plan, self._sites, self._weights, self._threads))
            worker.line.recv()
        except (EOFError, OSError):
            raise OSError(f"it ended before it was ready, with exit code {self._end(worker)}") from None
        return worker

    def _end(self, worker: _Worker) -> int:
        self._live.discard(worker.process)
        worker.line.close()
        worker.process.kill()
        return worker.process.wait()


@dataclass(frozen=True, order=True)
class _Waiting:
    """A place in the queue. The longest job goes first, so that runs that share the workers end at about the same time."""

    minus_work: float
    number: int
    item: tuple[Job, queue.Queue[tuple[Job, Outcome]]] | None = field(compare=False)


@dataclass(frozen=True)
class _Worker:
    process: subprocess.Popen[bytes]
    line: Connection


@dataclass(frozen=True)
class _Silent:
    """Why a worker was ended that gave no answer."""

    reason: str


class _Died:
    """A worker process is gone, for want of memory or killed."""


def _start(threads: int) -> _Worker:
    ours, theirs = Pipe()
    environment = os.environ | {"OMP_NUM_THREADS": str(threads), "OMP_WAIT_POLICY": "PASSIVE", "TOKENIZERS_PARALLELISM": "false"}
    # -P: no program of the folder that the run was started in is taken for a library
    command = [sys.executable, "-P", "-m", "fedloom.federation.engines.worker", str(theirs.fileno())]
    with theirs:
        process = subprocess.Popen(
            command, pass_fds=[theirs.fileno()], env=environment, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL
        )
    return _Worker(process, ours)


def _ask(worker: _Worker, job: Job) -> Outcome | _Silent | _Died:
    try:
        worker.line.send(job)
        if not worker.line.poll(job.deadline + GRACE):
            return _Silent(f"no answer {GRACE:.0f} s after its deadline of {job.deadline:.0f} s; its worker process was ended")
        outcome = worker.line.recv()
    except (EOFError, OSError):
        return _Died()
    assert isinstance(outcome, Outcome)
    return outcome
