"""Classification of pictures: its loss against torch by hand, its sums, how pictures are cut into parts, and what it refuses."""

import numpy as np
import pytest
import torch
from torch.nn.functional import cross_entropy

import fedloom
from fedloom.chat import talks
from fedloom.data.records import Picture, Provenance
from fedloom.errors import DataError, RecipeError, RunStoppedError
from fedloom.federation.observer import Observer
from fedloom.models.encoders import PictureEncoder
from fedloom.resolve import load_recipe
from fedloom.tasks import ClassifyPictures, classify_pictures

TASK = ClassifyPictures(labels=("yes", "no"))


def picture(label, size=8):
    return Picture(np.zeros((size, size, 1), np.uint8), label, Provenance.PRIVATE)


@torch.no_grad()
def test_the_loss_and_the_sums_are_those_of_torch_by_hand(made):
    one = made("classify_pictures")
    pixels = np.stack([record.pixels for record in one.records])
    scores = one.model(torch.from_numpy(pixels).permute(0, 3, 1, 2).float() / 255)
    right = torch.tensor([0, 1, 0, 1])
    expected = float(cross_entropy(scores, right))
    assert abs(expected - 0.6931) > 1e-3
    (part,) = TASK.losses(one.model, one.rows, range(4))
    assert float(part.loss.detach()) == pytest.approx(expected, abs=1e-5)
    assert part.tokens == 4
    sums, found = TASK.evaluate(one.model, one.rows, range(4), 2), scores.argmax(1)
    assert (sums["loss"], sums["terms"], sums["rows"]) == (pytest.approx(4 * expected, abs=1e-4), 4, 4)
    assert sums["right"] == int((found == right).sum())
    for label in (0, 1):
        assert sums[f"true_positive/{label}"] == int(((found == label) & (right == label)).sum())
        assert sums[f"false_positive/{label}"] == int(((found == label) & (right != label)).sum())
        assert sums[f"false_negative/{label}"] == int(((found != label) & (right == label)).sum())


def test_the_parts_of_a_batch_add_up_to_its_loss_whatever_the_cut(made, monkeypatch):
    one = made("classify_pictures")
    (whole,) = TASK.losses(one.model, one.rows, [3, 1, 0, 1])
    sums = TASK.evaluate(one.model, one.rows, range(4), 16)
    monkeypatch.setitem(classify_pictures.LARGEST_PART, "cpu", 3)
    parts = list(TASK.losses(one.model, one.rows, [3, 1, 0, 1]))
    assert [part.tokens for part in parts] == [3, 1]
    assert float(sum(part.loss for part in parts).detach()) == pytest.approx(float(whole.loss.detach()), abs=1e-5)
    assert TASK.evaluate(one.model, one.rows, range(4), 16) == pytest.approx(sums, abs=1e-4)


@pytest.mark.parametrize(("batch_size", "sizes"), [(3, [3, 1]), (16, [4])])
def test_pictures_are_measured_in_batches_of_the_size_that_is_asked_for(made, batch_size, sizes):
    one = made("classify_pictures")
    seen = []
    one.model.register_forward_pre_hook(lambda model, inputs: seen.append(len(inputs[0])))
    TASK.evaluate(one.model, one.rows, range(4), batch_size)
    assert seen == sizes


def test_an_adapter_for_a_network_that_takes_none_is_refused_before_anything_is_loaded():
    expected = r"model\.adapter: classify_pictures trains a picture_net, which takes no adapter; write null"
    with pytest.raises(RecipeError, match=expected):
        load_recipe("pictures_tiny", {"model.adapter": {"rank": 4}})
    with pytest.raises(RecipeError, match=expected):
        load_recipe({"task": {"kind": "classify_pictures", "labels": ["a", "b"]}, "model": {"id": "resnet8"}})


def test_a_label_that_is_not_named_is_counted_and_never_shown(tmp_path):
    with pytest.raises(DataError) as caught:
        TASK.encode([picture("yes"), picture("secret"), picture("hidden")], PictureEncoder(), tmp_path)
    assert str(caught.value) == "task.labels: 2 of 3 rows have a label that is none of them; name all labels"


def test_pictures_of_different_sizes_are_one_line(tmp_path):
    with pytest.raises(DataError, match="its pictures have different sizes, 8x8x1 and 9x9x1"):
        TASK.encode([picture("yes"), picture("no", 9)], PictureEncoder(), tmp_path)


def test_rows_are_kept_under_a_hash_of_pixels_and_labels(tmp_path):
    first = TASK.encode([picture("yes"), picture("no")], PictureEncoder(), tmp_path)
    assert TASK.encode([picture("yes"), picture("no")], PictureEncoder(), tmp_path) == first
    assert TASK.encode([picture("no"), picture("no")], PictureEncoder(), tmp_path) != first
    assert TASK.load(first).right.tolist() == [0, 1]


@pytest.mark.parametrize(("key", "value"), [("template", "chat"), ("max_length", 96)])
def test_what_belongs_to_conversations_is_refused(key, value):
    with pytest.raises(RecipeError, match=rf"data\.{key}: belongs to conversations, and classify_pictures takes pictures; leave it out"):
        load_recipe("pictures_tiny", {f"data.{key}": value})


SHORT = {"rounds": 2, "task.steps": 4, "data.limit": 300, "data.partition": {"kind": "iid"}, "evaluate.baselines": ["base", "majority"]}


@pytest.mark.parametrize("algorithm", ["fedavg", "fedprox", "scaffold"])
def test_a_run_on_digits_learns_all_weights_and_reports_accuracy(algorithm, tmp_path):
    run = fedloom.run("pictures_tiny", tmp_path / "run", **SHORT, **{"algorithm.name": algorithm})
    assert run.metrics.keys() >= {"federated/accuracy", "federated/macro_f1", "federated/loss", "majority/accuracy"}
    assert run.metrics["base/loss"] == pytest.approx(2.3026, abs=1e-3)  # log 10: the new head prefers no label
    assert run.metrics["federated/loss"] < run.metrics["base/loss"]
    assert (run.adapter_path / "model.safetensors").is_file()
    assert not talks(load_recipe(run.folder / "recipe.yaml"))


def test_a_stopped_run_on_digits_resumes_to_the_same_bytes(tmp_path):

    class StopsInRoundTwo(Observer):
        def stage(self, name, total):
            if name == "round 2/2":
                raise KeyboardInterrupt

    whole = fedloom.run("pictures_tiny", tmp_path / "whole", **SHORT)
    with pytest.raises(RunStoppedError):
        fedloom.run("pictures_tiny", tmp_path / "stopped", StopsInRoundTwo(), **SHORT)
    assert fedloom.resume(tmp_path / "stopped").adapter_sha256 == whole.adapter_sha256
