"""What a client keeps of its optimiser between rounds, through whole runs of a real (if tiny) language model."""

import os
from pathlib import Path

import pytest
import torch
from local_runs import opened, rows_of

import fedloom
from fedloom.algorithms import ClientHalf
from fedloom.errors import RecipeError, RunStoppedError
from fedloom.federation.observer import Observer
from fedloom.resolve import load_recipe
from fedloom.state import State
from fedloom.streams import torch_stream
from fedloom.tasks.gradients import PlainGradients
from fedloom.tasks.training import train

ROUNDS = 3
ONE = {
    "data.partition": {"kind": "iid"},
    "clients": 1,
    "per_round": 1,
    "quorum": 1,
    "rounds": ROUNDS,
    "task.steps": 2,
    "task.schedule": "constant",
    "task.keep_optimizer": True,
    "model.adapter.rank": 4,
    "evaluate.baselines": [],
    "evaluate.every": 0,
    "evaluate.samples": 0,
}


class StopsInRoundTwo(Observer):
    def stage(self, name, total):
        if name == f"round 2/{ROUNDS}":
            raise KeyboardInterrupt


class JoinsEveryTwoSteps(ClientHalf):
    """Rounds the weights where a round ends as their way over the wire does: w + (n u) / n, u = w_i - w in fp32."""

    def __init__(self, start, examples):
        super().__init__(start, {}, {})
        self.rule, self.examples, self.steps = fedloom.algorithms.get("fedavg")(), examples, 0
        self.rule.start(start)

    def after_step(self, weights, learning_rate):
        self.steps += 1
        if self.steps % 2 == 0:
            self.rule.add(State(self.start.layout, weights.clone()) - self.rule.state, weight=self.examples)
            weights.copy_(self.rule.step().flat)


def uninterrupted(join, folder):
    """All rounds' steps in one loop with one optimiser."""
    recipe = load_recipe("tiny", ONE)
    with opened(recipe, folder) as (local, federation, _):
        (client,) = local.sites.owners
        task, bench, rows = federation.task, local.bench, rows_of(local, federation, client)
        streams = [torch_stream(recipe.seed, "batches", number, client) for number in range(1, ROUNDS + 1)]
        batches = [step for stream in streams for step in PlainGradients().draw(len(rows), task, stream)]
        half = JoinsEveryTwoSteps(local.start, len(rows)) if join else ClientHalf(local.start, {}, {})
        train(bench.model, bench.parameters, task, rows, batches, task.learning_rate, half, 0)
        return bench.parameters.state()


@pytest.fixture(scope="module", autouse=True)
def home(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("FEDLOOM_HOME", str(tmp_path_factory.mktemp("home")))
        yield


@pytest.fixture(scope="module")
def kept(tmp_path_factory):
    return fedloom.run("tiny", out=tmp_path_factory.mktemp("runs") / "kept", **ONE)


def test_one_client_that_keeps_its_optimiser_is_one_uninterrupted_loop_to_the_bit(kept, tmp_path):
    assert kept.state.equals(uninterrupted(True, tmp_path))


def test_and_the_loop_that_never_sends_its_weights_is_the_same_but_for_rounding(kept, tmp_path):
    torch.testing.assert_close(kept.state.flat, uninterrupted(False, tmp_path).flat, atol=1e-6, rtol=1e-4)


def test_a_client_that_begins_afresh_in_every_round_ends_elsewhere(kept, tmp_path):
    fresh = fedloom.run("tiny", out=tmp_path / "fresh", **(ONE | {"task.keep_optimizer": False}))
    assert not torch.allclose(fresh.state.flat, kept.state.flat, atol=1e-3)
    with pytest.raises(RunStoppedError):
        fedloom.run("tiny", out=tmp_path / "cut", observer=StopsInRoundTwo(), **(ONE | {"task.keep_optimizer": False}))
    assert not memories()


def memories():
    """What the sites on this machine keep between rounds."""
    return list((Path(os.environ["FEDLOOM_HOME"]) / "sites").rglob("*.memory"))


def test_a_stopped_run_goes_on_with_the_kept_moments_and_forgets_them_when_it_is_over(kept, tmp_path):
    with pytest.raises(RunStoppedError):
        fedloom.run("tiny", out=tmp_path / "stopped", observer=StopsInRoundTwo(), **ONE)
    assert memories()
    assert not list(tmp_path.rglob("*.memory"))
    assert fedloom.resume(tmp_path / "stopped").state.equals(kept.state)
    assert not memories()


def test_a_stopped_run_whose_client_lost_its_memory_does_not_go_on_as_if_nothing_had_happened(tmp_path):
    scaffold = ONE | {"task.keep_optimizer": False, "algorithm": {"name": "scaffold"}}
    with pytest.raises(RunStoppedError):
        fedloom.run("tiny", out=tmp_path / "stopped", observer=StopsInRoundTwo(), **scaffold)
    for path in memories():
        path.unlink()
    with pytest.raises(RunStoppedError, match="round 2 had 0 usable replies"):
        fedloom.resume(tmp_path / "stopped")
    assert "this client has lost what it kept of round 1" in (tmp_path / "stopped" / "audit.jsonl").read_text()


def test_scaffold_in_its_textbook_form_runs_on_sgd(tmp_path):
    sgd = {"task.optimizer": "sgd", "task.learning_rate": 0.5, "algorithm": {"name": "scaffold", "variant": "textbook"}}
    run = fedloom.run("tiny", out=tmp_path / "sgd", **(ONE | sgd | {"evaluate.every": ROUNDS, "evaluate.baselines": ["base"]}))
    assert run.metrics["federated/loss"] < run.metrics["base/loss"]


def test_moments_are_not_kept_for_factors_that_are_made_anew():
    with pytest.raises(RecipeError, match=r"task\.keep_optimizer: moments do not fit factors that are made anew in every round"):
        load_recipe("tiny", {"task.keep_optimizer": True, "algorithm.aggregate": "refactor"})
