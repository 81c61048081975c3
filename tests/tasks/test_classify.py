"""Classification by the likelihood of the labels: its loss, what counts as right, and what it refuses."""

import pytest
import torch
import yaml

from fedloom.data.records import Conversation, Provenance, Turn
from fedloom.errors import DataError, RecipeError
from fedloom.models.adapters import attach_lora
from fedloom.models.encoders import TextEncoder
from fedloom.models.load import load_model
from fedloom.recipe import AdapterRecipe, ModelRecipe
from fedloom.resolve import load_recipe
from fedloom.tasks import Classify

LABELS = ("red", "blue", "green and yellow")
TASK = Classify(labels=LABELS)


def row(asked, label):
    return Conversation((Turn("user", asked), Turn("assistant", label)), Provenance.PRIVATE)


ROWS = [row("color of sky?", "blue"), row("color of blood, in one word?", "red"), row("leaf", "green and yellow"), row("sea", "blue")]


@pytest.fixture(scope="module")
def tiny(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("FEDLOOM_HOME", str(tmp_path_factory.mktemp("home")))
        loaded = load_model(ModelRecipe(id="tiny-llama", device="cpu"))
    return attach_lora(loaded.model, AdapterRecipe(rank=4, alpha=8), seed=1), loaded.tokenizer


def rows_of(tokenizer, folder, examples=ROWS):
    return TASK.load(TASK.encode(examples, TextEncoder(tokenizer, "chat", 512), folder))


def brute_force_scores(model, rows):
    """log p of every label as the answer, a row at a time, from the model's plain logits."""
    scores = torch.zeros(len(rows), len(LABELS))
    for number in range(len(rows) * len(LABELS)):
        ids, mask = rows.tokens.row(number)
        found = model(input_ids=ids[None]).logits[0].log_softmax(-1)
        scores.view(-1)[number] = sum(found[i - 1, ids[i]] for i in range(1, len(ids)) if mask[i])
    return scores


@torch.no_grad()
def test_the_loss_is_the_cross_entropy_over_the_likelihoods_of_the_labels(tiny, tmp_path):
    model, tokenizer = tiny
    rows = rows_of(tokenizer, tmp_path)
    scores = brute_force_scores(model, rows)
    right = torch.tensor([LABELS.index(example.response) for example in ROWS])
    expected = float(torch.nn.functional.cross_entropy(scores, right))
    assert float(sum(part.loss for part in TASK.losses(model, rows, range(4)))) == pytest.approx(expected, abs=1e-4)
    sums = TASK.evaluate(model, rows, range(4), 2)
    assert sums["loss"] / sums["terms"] == pytest.approx(expected, abs=1e-4)
    assert (sums["right"], sums["rows"]) == (int((scores.argmax(1) == right).sum()), 4)


def test_every_label_is_right_once_it_is_among_the_right_answers(tiny, tmp_path):
    model, tokenizer = tiny
    rows = rows_of(tokenizer, tmp_path, [row("any color?", label) for label in LABELS])
    sums = TASK.evaluate(model, rows, (0, 0, 0), 16)
    assert sums["right"] == sums["rows"] == 1


def test_training_learns_the_labels(tiny, tmp_path):
    model, tokenizer = tiny
    rows = rows_of(tokenizer, tmp_path)
    optimiser = torch.optim.AdamW([parameter for parameter in model.parameters() if parameter.requires_grad], lr=0.02)
    for _ in range(15):
        optimiser.zero_grad()
        for part in TASK.losses(model, rows, range(4)):
            part.loss.backward()
        optimiser.step()
    assert TASK.evaluate(model, rows, range(4), 16)["right"] == 4


def test_a_response_that_is_no_label_is_counted_and_never_shown(tiny, tmp_path):
    with pytest.raises(DataError, match=r"task\.labels: 1 of 2 rows have a label that is none of them") as caught:
        rows_of(tiny[1], tmp_path, [row("q", "blue"), row("q", "secret")])
    assert "secret" not in str(caught.value)


def test_labels_are_required_and_distinct():
    with pytest.raises(RecipeError, match=r"task\.labels: is required"):
        load_recipe({"task": {"kind": "classify"}})
    with pytest.raises(RecipeError, match=r"task\.labels"):
        load_recipe({"task": {"kind": "classify", "labels": ["yes"]}})
    with pytest.raises(RecipeError, match=r"task\.labels: names a label twice"):
        Classify(labels=("yes", "yes"))


def test_a_classify_recipe_survives_being_written_and_read():
    recipe = load_recipe({"task": {"kind": "classify", "labels": ["yes", "no"]}})
    assert load_recipe(yaml.safe_load(recipe.to_yaml())) == recipe
