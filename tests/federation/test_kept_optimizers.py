"""What a client keeps of its optimiser between rounds, through whole runs of a real (if tiny) language model."""

import pytest
import torch

import fedloom
from fedloom.algorithms import ClientHalf
from fedloom.errors import RecipeError, RunStoppedError
from fedloom.federation.observer import Observer
from fedloom.recipe import load_recipe
from fedloom.state import State
from fedloom.streams import torch_stream
from fedloom.tasks.training import draw_batches, train
from fedloom.workshop import open_workshop, task_of

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


def uninterrupted(join):
    """All rounds' steps in one loop with one optimiser."""
    recipe = load_recipe("tiny", ONE)
    task = task_of(recipe)
    with open_workshop(recipe) as workshop:
        (client,) = workshop.data.clients
        rows, bench = task.load(workshop.rows[client.name].train), workshop.bench
        streams = [torch_stream(recipe.seed, "batches", number, client.name) for number in range(1, ROUNDS + 1)]
        batches = [step for stream in streams for step in draw_batches(len(rows), task, stream)]
        half = JoinsEveryTwoSteps(workshop.start, len(client.train)) if join else ClientHalf(workshop.start, {}, {})
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


def test_one_client_that_keeps_its_optimiser_is_one_uninterrupted_loop_to_the_bit(kept):
    assert kept.state.equals(uninterrupted(join=True))


def test_and_the_loop_that_never_sends_its_weights_is_the_same_but_for_rounding(kept):
    torch.testing.assert_close(kept.state.flat, uninterrupted(join=False).flat, atol=1e-6, rtol=1e-4)


def test_a_client_that_begins_afresh_in_every_round_ends_elsewhere(kept, tmp_path):
    fresh = fedloom.run("tiny", out=tmp_path / "fresh", **(ONE | {"task.keep_optimizer": False}))
    assert not torch.allclose(fresh.state.flat, kept.state.flat, atol=1e-3)
    assert not list((tmp_path / "fresh").rglob("*.memory"))


def test_a_stopped_run_goes_on_with_the_kept_moments(kept, tmp_path):
    with pytest.raises(RunStoppedError):
        fedloom.run("tiny", out=tmp_path / "stopped", observer=StopsInRoundTwo(), **ONE)
    assert fedloom.resume(tmp_path / "stopped").state.equals(kept.state)


def test_scaffold_in_its_textbook_form_runs_on_sgd(tmp_path):
    sgd = {"task.optimizer": "sgd", "task.learning_rate": 0.5, "algorithm": {"name": "scaffold", "variant": "textbook"}}
    run = fedloom.run("tiny", out=tmp_path / "sgd", **(ONE | sgd | {"evaluate.every": ROUNDS, "evaluate.baselines": ["base"]}))
    assert run.metrics["federated/loss"] < run.metrics["base/loss"]


def test_moments_are_not_kept_for_factors_that_are_made_anew():
    with pytest.raises(RecipeError, match=r"task\.keep_optimizer: moments do not fit factors that are made anew in every round"):
        load_recipe("tiny", {"task.keep_optimizer": True, "algorithm.aggregate": "refactor"})
