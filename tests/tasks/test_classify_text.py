"""Classification of text by a bag of words: its scores by hand, and a run from rows to a model that is loaded again."""

import json

import pytest
import torch
from local_runs import opened
from made_tasks import make
from torch.nn.functional import cross_entropy, embedding_bag

import fedloom
from fedloom.chat import talks
from fedloom.data.records import Conversation, Provenance, Turn
from fedloom.data.word_buckets import buckets
from fedloom.errors import DataError, RecipeError, RunStoppedError
from fedloom.federation.observer import Observer
from fedloom.federation.rounds import run_rounds
from fedloom.models.encoders import WordEncoder
from fedloom.models.networks import TEXT_NETWORKS
from fedloom.resolve import load_recipe
from fedloom.tasks import ClassifyText

TASK = ClassifyText(labels=("yes", "no"))
MODEL = {"id": "bag-of-words", "adapter": None, "device": "cpu"}


def row(asked, label):
    return Conversation((Turn("user", asked), Turn("assistant", label)), Provenance.PRIVATE)


@torch.no_grad()
def test_a_smaller_bag_scores_the_same_words_whatever_stands_behind_them():
    net = TEXT_NETWORKS["bag-of-words-4k"].empty(2)
    row = torch.tensor([[4096, 9, 65_535]])  # the first shares an embedding with the bucket of no word
    mean = net.embedding.weight[[0, 9, 4095]].mean(0)
    torch.testing.assert_close(net(row)[0], net.head(mean))
    torch.testing.assert_close(net(torch.cat([row, torch.zeros(1, 5, dtype=torch.long)], 1)), net(row))


@pytest.mark.parametrize("name", TEXT_NETWORKS)
def test_every_network_for_text_is_trained_for_two_rounds(flying, name, tmp_path):
    recipe = load_recipe(flying, {"model.id": name, "task.steps": 2, "evaluate.every": 0})
    with opened(recipe, tmp_path / "run") as (local, federation, _):
        state = run_rounds(federation, local.start)
    assert (state["embedding.weight"] != local.start["embedding.weight"]).any()
    assert state["head.weight"].any()


@torch.no_grad()
def test_the_loss_is_that_of_torchs_embedding_bag(tmp_path):
    made = make("classify_text", tmp_path)
    texts = [buckets(words.split()) for words in ("color of sky", "can a stone fly say it in one word", "legs of ant", "hot")]
    starts = torch.tensor([0, *map(len, texts)]).cumsum(0)[:-1]
    means = embedding_bag(torch.tensor([one for text in texts for one in text]), made.model.embedding.weight, starts, mode="mean")
    right = torch.tensor([0, 1, 0, 1])
    expected = cross_entropy(made.model.head(means), right)
    parts = list(made.task.losses(made.model, made.rows, range(4)))
    assert float(sum(part.loss for part in parts)) == pytest.approx(float(expected), abs=1e-6)
    sums = made.task.evaluate(made.model, made.rows, range(4), 3)
    assert sums["loss"] / sums["terms"] == pytest.approx(float(expected), abs=1e-6)
    assert sums["right"] == int((made.model.head(means).argmax(1) == right).sum())


def test_a_label_that_is_not_named_is_counted_and_never_shown(tmp_path):
    with pytest.raises(DataError, match=r"task\.labels: 1 of 2 rows have a label that is none of them") as caught:
        TASK.encode([row("a", "yes"), row("b", "secret")], WordEncoder(9), tmp_path)
    assert "secret" not in str(caught.value)


def test_a_row_without_a_word_is_nothing_to_learn_from(tmp_path):
    rows = TASK.load(TASK.encode([row("fly", "yes"), row("?!", "no")], WordEncoder(9), tmp_path))
    assert TASK.learnable(rows) == [True, False]


@pytest.fixture
def flying(tmp_path):
    """Two clients with rows of one question, of which some say their answer, and the recipe that lets them classify it."""
    words = {"yes": "bird bat bee kite jet wasp", "no": "stone house fish car tree shoe"}
    (tmp_path / "rows").mkdir()
    for client in ("air", "field"):
        rows = [
            {"question": f"{client}: can the {size} {word} fly?", "answer": label}
            for label, some in words.items()
            for word in some.split()
            for size in ("big", "small")
        ]
        (tmp_path / "rows" / f"{client}.jsonl").write_text("".join(json.dumps(one) + "\n" for one in rows))
    return {
        "name": "flying",
        "model": MODEL,
        "data": {"source": str(tmp_path / "rows"), "partition": {"kind": "by_source"}, "held_out": 0.25, "held_out_by": "answer"},
        "task": {"kind": "classify_text", "labels": ["yes", "no"], "steps": 10, "batch_size": 16, "learning_rate": 0.05},
        "federation": {"rounds": 2, "threads": 1, "workers": 1},
        "evaluate": {"every": 2, "baselines": ["base", "majority"]},
    }


def test_a_run_learns_reports_and_hands_out_a_model_that_is_trained_on(flying, tmp_path):
    run = fedloom.run(flying, tmp_path / "run")
    assert run.metrics["base/loss"] == pytest.approx(0.6931, abs=1e-3)
    assert run.metrics["federated/accuracy"] > 0.8 > 0.6 > run.metrics["majority/accuracy"]
    assert (run.folder / "report.html").is_file()
    assert not talks(load_recipe(run.folder / "recipe.yaml"))
    again = fedloom.run(flying, tmp_path / "again", **{"model.id": str(run.adapter_path)})
    assert again.metrics["base/loss"] == pytest.approx(run.metrics["federated/loss"], abs=1e-6)


def test_a_run_whose_rows_are_private_is_stopped_and_resumed(flying, tmp_path, monkeypatch):
    class StopsInRoundTwo(Observer):
        def stage(self, name, total):
            if name == "round 2/2":
                raise KeyboardInterrupt

    monkeypatch.setenv("FEDLOOM_HOME", str(tmp_path / "home"))
    private = {
        "model.id": "bag-of-words-4k",
        "privacy": {"noise_multiplier": 1.0, "delta": 1e-3},
        "task.steps": 2,
        "evaluate.every": 0,
        "data.held_out": 0.0,
    }
    with pytest.raises(RunStoppedError):
        fedloom.run(flying, tmp_path / "stopped", StopsInRoundTwo(), **private)
    run = fedloom.resume(tmp_path / "stopped")
    assert run.status == "finished"
    assert torch.isfinite(run.state.flat).all()
    assert (run.state["embedding.weight"] != 0).all()  # noise is on every bucket, whether a word is in it or not


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"model.adapter": {"rank": 4}}, "model.adapter: classify_text trains a text_net, which takes no adapter; write null"),
        ({"data.template": "chat"}, "data.template: classify_text reads the words of a conversation, and no template; leave it out"),
        ({"model.id": "cnn"}, "model.id: cnn is a picture_net, and classify_text trains a text_net; choose another model or task"),
        ({"model.running_statistics": "frozen"}, "model.running_statistics: means nothing to a text_net, which classify_text trains"),
    ],
)
def test_what_does_not_go_with_it_is_one_line(flying, change, said):
    with pytest.raises(RecipeError) as caught:
        load_recipe(flying, change)
    assert str(caught.value).startswith(said)


def test_words_and_no_template_are_agreed_on():
    assert WordEncoder(40).terms == {"max_length": 40}
    assert load_recipe({"model": MODEL, "task": {"kind": "classify_text", "labels": ["a", "b"]}}).data.template is None
