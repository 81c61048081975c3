"""Worker processes: what becomes of jobs when a run ends before them."""

from __future__ import annotations

import pytest
from torch import nn

from fedloom.errors import RunStoppedError
from fedloom.federation.engines.pool import WorkerPool
from fedloom.federation.engines.workers import Job
from fedloom.local_run import bench_plan
from fedloom.resolve import load_recipe


def test_a_job_that_comes_after_the_pool_was_closed_stops_whoever_waits_for_it(tmp_path):
    pool = WorkerPool(nn.Linear(2, 2), bench_plan(load_recipe("tiny")), tmp_path, workers=2, threads=1)
    pool.close()
    jobs = [Job("north", b"", float(number), 1.0) for number in range(3)]
    with pytest.raises(RunStoppedError, match="stopping"):
        list(pool.run(jobs))
