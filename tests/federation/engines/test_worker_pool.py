"""Worker processes: what becomes of jobs when a run ends before them."""

from __future__ import annotations

import pytest
from torch import nn

import fedloom
from fedloom.errors import RunStoppedError
from fedloom.federation.engines import pool as pool_module
from fedloom.federation.engines.pool import WorkerPool
from fedloom.federation.engines.workers import Job, LostWorkers
from fedloom.federation.observer import Observer
from fedloom.local_run import bench_plan
from fedloom.resolve import load_recipe


def test_a_job_that_comes_after_the_pool_was_closed_stops_whoever_waits_for_it(tmp_path):
    pool = WorkerPool(nn.Linear(2, 2), bench_plan(load_recipe("tiny")), tmp_path, workers=2, threads=1)
    pool.close()
    jobs = [Job("north", b"", float(number), 1.0) for number in range(3)]
    with pytest.raises(RunStoppedError, match="stopping"):
        list(pool.run(jobs))


SMALL = {
    "rounds": 3,
    "task.steps": 1,
    "evaluate.baselines": [],
    "evaluate.samples": 0,
    "evaluate.every": 3,
    "federation.workers": 2,
    "federation.threads": 1,
}

KILLER = """
import os, signal
from dataclasses import dataclass
from pathlib import Path

from fedloom.federation.engines.workers import SitesOnBench
from fedloom.federation.messages import peek

FOLDER = Path(__file__).parent
plain = SitesOnBench.do


def do(self, job):
    triggers = sorted(FOLDER.glob(f"{job.client}-*"))
    if triggers and peek(job.message)[0] == "train":
        triggers[0].unlink()
        os.kill(os.getpid(), signal.SIGKILL)
    return plain(self, job)


SitesOnBench.do = do
"""


@pytest.fixture
def kills(tmp_path):
    """A plugin with which a worker that trains a client dies, once for every file CLIENT-NUMBER beside it."""
    (tmp_path / "killer.py").write_text(KILLER)

    def times(client, count):
        for number in range(count):
            (tmp_path / f"{client}-{number:02d}").touch()
        return {"plugins": [str(tmp_path / "killer.py")]}

    return times


class Listener(Observer):
    def __init__(self):
        self.failures = []

    def client_done(self, stage, client, failure):
        if failure:
            self.failures.append((stage, client, failure))


def test_the_job_of_a_killed_worker_is_done_again_by_another_and_no_byte_depends_on_it(tmp_path, kills):
    undisturbed = fedloom.run("tiny", tmp_path / "undisturbed", **SMALL)
    listener = Listener()
    survived = fedloom.run("tiny", tmp_path / "survived", listener, **SMALL, **kills("north", 1))
    assert not list(tmp_path.glob("north-*")), "a worker was killed"
    assert listener.failures == []
    assert survived.adapter_sha256 == undisturbed.adapter_sha256


def test_a_client_that_kills_two_workers_is_named_and_left_out_of_the_rest_of_the_run(tmp_path, kills):
    listener = Listener()
    run = fedloom.run("tiny", tmp_path / "run", listener, **SMALL, **kills("north", 9))
    assert run.status == "finished"
    assert len(list(tmp_path.glob("north-*"))) == 7, "it was not tried again in later rounds"
    assert {client for _, client, _ in listener.failures} == {"north"}
    assert all(
        "2 worker processes died over it, one after another (exit code -9, exit code -9); it is left out of the rest" in failure
        for _, _, failure in listener.failures
    )
    assert [stage for stage, _, _ in listener.failures][:3] == ["round 1/3", "round 2/3", "round 3/3"]


def test_a_job_that_is_done_makes_good_for_a_worker_that_died_before():
    lost = LostWorkers()
    for _ in range(3):
        lost.add("a", "exit code -9")
        assert lost.refusal("a") is None
        lost.forget("a")
    lost.add("a", "exit code 1")
    lost.add("a", "exit code -9")
    assert "(exit code 1, exit code -9)" in lost.refusal("a")
    assert lost.refusal("b") is None


def test_a_worker_that_cannot_start_is_no_fault_of_a_client_and_nobody_waits_for_it(tmp_path, monkeypatch):
    def refused(threads):
        raise BlockingIOError("out of processes")

    monkeypatch.setattr(pool_module, "_start", refused)
    pool = WorkerPool(nn.Linear(2, 2), bench_plan(load_recipe("tiny")), tmp_path, workers=2, threads=1)
    try:
        outcomes = [outcome for _, outcome in pool.run([Job("north", b"", 1.0, 1.0) for _ in range(5)])]
    finally:
        pool.close()
    assert {outcome.error for outcome in outcomes} == {"no worker process can be started (out of processes)"}


def test_a_worker_that_ends_before_it_is_ready_is_named_with_its_exit_code(tmp_path, monkeypatch):
    monkeypatch.setenv("PYTHONHOME", str(tmp_path))  # no interpreter starts with it
    pool = WorkerPool(nn.Linear(2, 2), bench_plan(load_recipe("tiny")), tmp_path, workers=1, threads=1)
    try:
        ((_, outcome),) = pool.run([Job("north", b"", 1.0, 1.0)])
    finally:
        pool.close()
    assert outcome.error == "no worker process can be started (it ended before it was ready, with exit code 1)"


def test_a_worker_runs_no_program_of_the_folder_that_the_run_was_started_in(tmp_path, monkeypatch):
    (tmp_path / "safetensors.py").write_text("import pathlib; pathlib.Path(__file__).with_name('ran').touch(); raise SystemExit(3)")
    monkeypatch.chdir(tmp_path)
    assert fedloom.run("tiny", tmp_path / "run", **SMALL | {"rounds": 1}).status == "finished"
    assert not (tmp_path / "ran").exists()
