"""What preference tasks promise beside their losses: parts, references, measures, gradients and refusals."""

import pytest
import torch

from fedloom.data.records import Conversation, Provenance, Turn
from fedloom.errors import DataError, RecipeError
from fedloom.models.adapters import attach_lora
from fedloom.models.encoders import TextEncoder
from fedloom.models.load import load_model
from fedloom.recipe import AdapterRecipe, ModelRecipe
from fedloom.resolve import load_recipe
from fedloom.tasks import DPO, KTO, ORPO, likelihood

TASKS = [DPO(max_prompt_length=64), ORPO(max_prompt_length=64), KTO(max_prompt_length=64)]
ASKED = ("color of sky?", "can stone fly?", "legs of ant? say it in one word", "opposite of hot?")


def pair(asked, chosen="blue", rejected="red as blood"):
    return Conversation((Turn("user", asked), Turn("assistant", chosen)), Provenance.PRIVATE, rejected=rejected)


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("FEDLOOM_HOME", str(tmp_path_factory.mktemp("home")))
        yield


@pytest.fixture
def tiny(home):
    return load_model(ModelRecipe(id="tiny-llama", device="cpu"))


@pytest.fixture
def model(tiny):
    return attach_lora(tiny.model, AdapterRecipe(rank=4, alpha=8), seed=1)


def move(model, scale=0.05):
    stream = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.requires_grad:
                parameter.add_(scale * torch.randn(parameter.shape, generator=stream))


def rows_of(task, tiny, tmp_path, examples):
    return task.load(task.encode(examples, TextEncoder(tiny.tokenizer, "chat", 512), tmp_path))


def losses(task, model, rows, indices):
    return [part.loss for part in task.losses(model, rows, indices)]


@pytest.mark.parametrize("task", TASKS, ids=lambda task: type(task).__name__)
def test_the_parts_of_a_batch_add_up_to_its_loss_whatever_the_cut(task, tiny, model, tmp_path, monkeypatch):
    move(model)
    rows = rows_of(task, tiny, tmp_path, [pair(asked) for asked in ASKED])
    whole = losses(task, model, rows, range(4))
    monkeypatch.setattr(likelihood, "part_tokens", lambda model: 1)
    parts = losses(task, model, rows, range(4))
    assert (len(whole), len(parts)) == (1, 4)
    assert float(sum(parts).detach()) == pytest.approx(float(sum(whole).detach()), abs=1e-5)


@pytest.mark.parametrize("task", TASKS, ids=lambda task: type(task).__name__)
def test_a_step_along_the_gradient_puts_the_preferred_answers_ahead(task, tiny, model, tmp_path):
    move(model, 0.01)
    rows = rows_of(task, tiny, tmp_path, [pair(asked) for asked in ASKED])
    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
    optimiser = torch.optim.SGD(trained, lr=0.1)
    before = task.evaluate(model, rows, range(4), 2)
    for _ in range(5):
        optimiser.zero_grad()
        for loss in losses(task, model, rows, range(4)):
            loss.backward()
        optimiser.step()
    after = task.evaluate(model, rows, range(4), 2)
    assert all(parameter.requires_grad for parameter in trained)
    assert after["loss"] < before["loss"]
    assert task.values(after)[task.measures[0].name] == 1.0
    assert after["rows"] == 4


def test_at_the_base_the_loss_of_dpo_is_log_two_and_no_pair_is_preferred(tiny, model, tmp_path):
    task = TASKS[0]
    sums = task.evaluate(model, rows_of(task, tiny, tmp_path, [pair(asked) for asked in ASKED]), range(4), 16)
    assert sums["loss"] / sums["terms"] == pytest.approx(0.693147, abs=1e-6)
    assert (sums["preferred"], sums["rows"], sums["terms"]) == (0, 4, 4)


def test_the_reference_stays_the_base_while_the_adapter_moves(tiny, model, tmp_path):
    rows = rows_of(TASKS[0], tiny, tmp_path, [pair(asked) for asked in ASKED])
    ids, labels, _ = rows.padded(range(4))
    before = likelihood.reference_log_probs(model, ids, labels)
    move(model)
    assert torch.equal(before, likelihood.reference_log_probs(model, ids, labels))
    assert not torch.allclose(before, likelihood.log_probs(model, ids, labels))


def test_a_model_without_an_adapter_has_no_reference(tiny, tmp_path):
    rows = rows_of(TASKS[0], tiny, tmp_path, [pair(ASKED[0])])
    with pytest.raises(RecipeError, match=r"model\.adapter: is null, but task\.kind needs one"):
        losses(TASKS[0], tiny.model, rows, [0])


def test_further_right_answers_to_a_prompt_are_not_measured_again(tiny, model, tmp_path):
    move(model)
    rows = rows_of(TASKS[0], tiny, tmp_path, [pair(ASKED[0]), pair(ASKED[0], "azure"), pair(ASKED[1])])
    assert TASKS[0].evaluate(model, rows, (0, 0, 1), 16)["rows"] == 2


@pytest.mark.parametrize("task", TASKS[:2], ids=lambda task: type(task).__name__)
def test_rows_without_a_rejected_answer_are_refused_with_the_keys_to_set(task, tiny, tmp_path):
    with pytest.raises(DataError, match=r"1 of 2 rows have no rejected answer; .* data\.fields"):
        rows_of(task, tiny, tmp_path, [pair(ASKED[0]), pair(ASKED[1], rejected=None)])


def test_kto_without_labels_names_the_column(tiny, tmp_path):
    with pytest.raises(DataError, match=r"2 of 2 rows .* the column 'label'; name yours in task\.label"):
        rows_of(TASKS[2], tiny, tmp_path, [pair(asked, rejected=None) for asked in ASKED[:2]])
    with pytest.raises(RecipeError, match=r"task\.batch_size: is 1"):
        KTO(batch_size=1)


def test_kto_never_takes_a_prompts_own_answers_for_anothers(tiny, model, tmp_path):
    task = KTO(max_prompt_length=64)
    rows = task.load(task.encode([pair(asked) for asked in ASKED[:2]], TextEncoder(tiny.tokenizer, "chat", 96), tmp_path))
    assert float(task._divergence(model, rows, [0])) == float(task._divergence(model, rows, [0, 0])) == 0.0
    assert task._divergence(model, rows, [0, 1, 0]).equal(task._divergence(model, rows, [0, 1]))


def test_a_batch_whose_answers_are_all_cut_is_refused(tiny, model, tmp_path):
    task = TASKS[0]
    rows = task.load(task.encode([pair("very long " * 20)], TextEncoder(tiny.tokenizer, "chat", 40), tmp_path))
    assert not task.trainable(rows)
    with pytest.raises(DataError, match=r"raise data\.max_length, or lower task\.max_prompt_length"):
        losses(task, model, rows, [0])


def test_dpo_has_the_published_settings():
    task = load_recipe({"task": {"kind": "dpo"}}).task.settings
    assert (task["beta"], task["max_prompt_length"], task["min_learning_rate"]) == (0.1, 128, 1e-5)
