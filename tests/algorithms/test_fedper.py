"""FedPer: shared tensors are averaged, personal ones stay with their client, and each client is measured with its own."""

import pytest
import torch

import fedloom
from fedloom.chat import open_chat
from fedloom.errors import ModelError, RecipeError
from fedloom.evaluating import evaluate
from fedloom.federation.observer import Observer
from fedloom.federation.run_folder import RunFolder
from fedloom.resolve import load_recipe
from fedloom.state import State


def state(shared, personal):
    return State.of({"body": torch.tensor([shared]), "score": torch.tensor([personal])})


@pytest.fixture
def rule():
    made = fedloom.algorithms.get("fedper")()
    made.start(state(1.0, 5.0), clients=2)
    return made


def test_shared_tensors_are_averaged_and_personal_ones_stay(rule):
    kept = {}
    for client, (shared, personal), weight in (("a", (2.0, 7.0), 1), ("b", (5.0, -3.0), 3)):
        half = rule.client_half(rule.state, {}, {})
        result = half.finish(state(shared, personal), steps=1, learning_rate=0.1)
        assert result.update["score"].item() == 0.0
        kept[client] = result.memory
        rule.add(result.update, weight=weight)
    joined = rule.step()
    assert joined["body"].item() == pytest.approx(1.0 + (1 * 1.0 + 3 * 4.0) / 4)
    assert joined["score"].item() == 5.0
    again = rule.client_half(joined, {}, kept["b"])
    assert (again.start["body"].item(), again.start["score"].item()) == (joined["body"].item(), -3.0)
    assert rule.at_client(joined, kept["a"])["score"].item() == 7.0
    assert rule.at_client(joined, {})["score"].item() == 5.0
    assert joined["score"].item() == 5.0  # what a client is measured with is a copy


@pytest.mark.parametrize(("personal", "message"), [("x", "in none of the"), (".", "in all of the"), ("(", "is no regular expression")])
def test_a_pattern_that_keeps_nothing_or_all_is_refused(personal, message):
    with pytest.raises(RecipeError, match=rf"^algorithm\.personal: '.+' is (found )?{message.removeprefix('is ')}"):
        fedloom.algorithms.get("fedper")(personal=personal).start(state(1.0, 5.0))


@pytest.mark.parametrize(
    ("asked", "key"),
    [
        ({"suites": [{"kind": "questions", "source": "tiny-demo"}]}, "suites"),
        ({"probes": [{"kind": "answers", "source": "tiny-demo"}]}, "probes"),
        ({"samples": 2}, "samples"),
    ],
)
def test_whatever_asks_the_model_that_is_handed_out_is_refused(asked, key):
    """That model is without the parts that the clients keep."""
    with pytest.raises(RecipeError, match=rf"^evaluate\.{key}: fedper leaves parts of the model with each client"):
        load_recipe("tiny", {"algorithm": {"name": "fedper"}, **{f"evaluate.{name}": value for name, value in asked.items()}})


def losses(folder):
    return [event["value"] for event in RunFolder(folder).metrics() if event["name"] == "held_out/federated/loss" and not event["client"]]


def test_with_one_client_it_is_plain_training(tmp_path):
    """It has the shared part from the server and the personal one from its memory: together all that it trained."""
    short = {"rounds": 3, "task.steps": 2, "clients": 1, "data.partition": {"kind": "iid"}, "evaluate.every": 1}
    quick = short | {"per_round": None, "quorum": 1, "evaluate.baselines": [], "evaluate.samples": 0}
    plain, kept = (fedloom.run("tiny", tmp_path / name, **quick, algorithm={"name": name}) for name in ("fedavg", "fedper"))
    assert losses(kept.folder) == pytest.approx(losses(plain.folder), abs=1e-6)
    assert losses(plain.folder)[0] > losses(plain.folder)[-1]


def test_a_run_says_that_it_hands_out_the_shared_parts_alone_and_its_model_is_not_asked(tmp_path):
    notes: list[str] = []

    class Notes(Observer):
        def note(self, text):
            notes.append(text)

    short = {"rounds": 1, "task.steps": 1, "clients": 2, "per_round": None, "evaluate.baselines": []}
    run = fedloom.run("tiny", tmp_path / "kept", Notes(), algorithm={"name": "fedper"}, **short)
    assert load_recipe(run.folder / "recipe.yaml").evaluate.samples == 0  # the preset has the default
    assert any("adapter holds the shared parts alone: fedper left the others" in note for note in notes)
    with pytest.raises(ModelError, match=r"kept: fedper left parts of the model with each client.*no model to ask"):
        open_chat(run.folder, 8, 0.0)
    with pytest.raises(ModelError, match=r"kept: fedper left parts of the model with each client.*no model to ask"):
        evaluate(str(run.folder), {})
