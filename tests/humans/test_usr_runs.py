"""The recipe usr_tiny: a field trained through the rounds, stopped and resumed, and under person-level privacy."""

import pytest
import torch

import fedloom
from fedloom.errors import RunStoppedError
from fedloom.federation.observer import Observer
from fedloom.local_run import bench_plan
from fedloom.models.bench import make_bench
from fedloom.privacy.row_gradients import SingleRows, row_gradients
from fedloom.report.record import read_run
from fedloom.resolve import load_recipe
from fedloom.spending import spending_of

SHORT = {"rounds": 2, "task.steps": 1, "task.rays": 32, "evaluate.baselines": [], "evaluate.every": 2}


class StopsInRoundTwo(Observer):
    def stage(self, name, total):
        if name == "round 2/2":
            raise KeyboardInterrupt


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    return fedloom.run("usr_tiny", tmp_path_factory.mktemp("usr") / "whole", **SHORT)


def test_people_that_were_held_out_are_measured_in_the_tasks_own_units(whole):
    assert 15 < whole.metrics["federated/psnr_foreground"] < 40
    assert 0.3 < whole.metrics["federated/miou"] <= 1
    declared = {one.name: one for one in read_run(whole.folder).measures}
    assert (declared["psnr_foreground"].unit, declared["psnr_foreground"].better) == ("dB", "higher")


def test_a_stopped_run_resumes_to_the_same_bytes(whole, tmp_path):
    with pytest.raises(RunStoppedError):
        fedloom.run("usr_tiny", tmp_path / "stopped", StopsInRoundTwo(), **SHORT)
    resumed = fedloom.resume(tmp_path / "stopped")
    assert resumed.state.sha256() == whole.state.sha256()
    assert resumed.metrics == whole.metrics


def test_under_privacy_a_person_is_a_row_and_one_at_a_time_is_clipped(tmp_path):
    bench = make_bench(bench_plan(load_recipe("usr_tiny")))
    with row_gradients(bench.model, bench.parameters) as rows:
        assert isinstance(rows, SingleRows)
    private = {"privacy": {"epsilon": 8.0, "delta": 1e-2, "ledger": "run"}, "data.held_out": 0, "evaluate.every": 0}
    run = fedloom.run("usr_tiny", tmp_path / "private", **SHORT | private)
    assert torch.isfinite(run.state.flat).all()
    assert all(len(one.rounds) == 2 for one in spending_of(run.folder))
