"""Worker processes: what becomes of jobs when a run ends before them."""

from __future__ import annotations

from pathlib import Path

import pytest
from torch import nn

from fedloom.errors import RunStoppedError
from fedloom.federation.engines.jobs import Job
from fedloom.federation.engines.pool import WorkerPool
from fedloom.federation.party import ClientRows
from fedloom.recipe import Recipe


def test_a_job_that_comes_after_the_pool_was_closed_stops_whoever_waits_for_it(tmp_path):
    pool = WorkerPool(nn.Linear(2, 2), Recipe(), workers=2, threads=1)
    pool.close()
    rows = ClientRows("north", Path("train"), 1, None, ())
    jobs = [Job(Recipe(), rows, tmp_path, "train", number, b"", 1.0) for number in range(3)]
    with pytest.raises(RunStoppedError, match="stopping"):
        list(pool.run(jobs))
