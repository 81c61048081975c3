"""Ray actors for the jobs of a run: several GPUs, or several machines with the same files. Each actor keeps its model between jobs.

The jobs are the same as those of the local engine, and so are the bytes that come back on the same kind of device.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from fedloom.errors import MissingExtraError
from fedloom.federation.engines.workers import Job, LostWorkers, Outcome, SitesOnBench
from fedloom.models.bench import BenchPlan, make_bench


class RayWorkers:
    """`workers` actors, each with a share of the GPUs where there are any. Joins the cluster of RAY_ADDRESS, or starts one of its own."""

    def __init__(self, plan: BenchPlan, sites: Path, workers: int, threads: int) -> None:
        os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
        try:
            import ray
        except ImportError:
            raise MissingExtraError("ray", "ray", "federation.engine: ray") from None

        self._ray: Any = ray
        self._started = not ray.is_initialized()
        if self._started:
            ray.init(include_dashboard=False, log_to_driver=False, configure_logging=False)
        gpus = ray.cluster_resources().get("GPU", 0)
        self._make = ray.remote(num_cpus=0, num_gpus=gpus / workers if gpus else 0)(RayBench).remote
        self._arguments = plan, sites, threads
        self._lost = LostWorkers()
        self._actors = [self._make(*self._arguments) for _ in range(workers)]

    def run(self, jobs: Iterable[Job]) -> Iterator[tuple[Job, Outcome]]:
        """Outcomes as they arrive. A job whose actor died is done again by a new one."""
        coming, idle = iter(jobs), list(range(len(self._actors)))
        running: dict[Any, tuple[Any, int, Job]] = {}
        again: list[Job] = []
        while True:
            while idle and (job := again.pop() if again else next(coming, None)):
                if refusal := self._lost.refusal(job.client):
                    yield job, Outcome(None, refusal)
                    continue
                place = idle.pop()
                actor = self._actors[place]
                running[actor.do.remote(job)] = (actor, place, job)
            if not running:
                return
            (ready,), _ = self._ray.wait(list(running), num_returns=1)
            actor, place, job = running.pop(ready)
            idle.append(place)
            try:
                outcome = self._ray.get(ready)
            except self._ray.exceptions.RayActorError:
                if self._actors[place] is actor:  # a run in another thread may have replaced it already
                    self._actors[place] = self._make(*self._arguments)
                self._lost.add(job.client, "Ray actor")
                again.append(job)
                continue
            self._lost.forget(job.client)
            yield job, outcome

    def close(self) -> None:
        for actor in self._actors:
            self._ray.kill(actor)
        self._actors = []
        if self._started:
            self._ray.shutdown()


class RayBench:
    """An actor: a model of its own, and one job at a time."""

    def __init__(self, plan: BenchPlan, sites: Path, threads: int) -> None:
        import torch

        torch.set_num_threads(threads)
        self._sites = SitesOnBench(make_bench(plan), sites)

    def do(self, job: Job) -> Outcome:
        return self._sites.do(job)
