"""What preference tasks promise beside their losses: parts, references, measures, gradients and refusals."""

import math
from contextlib import contextmanager
from types import SimpleNamespace

import pytest
import torch
from torch import nn

from fedloom.data.answers import AnswerRows
from fedloom.data.records import Conversation, Provenance, Turn
from fedloom.data.tokenise import TokenRows
from fedloom.errors import DataError, RecipeError
from fedloom.models.adapters import attach_lora
from fedloom.models.encoders import TextEncoder
from fedloom.models.load import load_model
from fedloom.recipe import AdapterRecipe, ModelRecipe
from fedloom.resolve import load_recipe
from fedloom.tasks import DPO, KTO, ORPO, Classify, likelihood

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


def test_at_the_base_the_loss_of_dpo_is_log_two_and_every_pair_is_a_tie(tiny, model, tmp_path):
    task = TASKS[0]
    sums = task.evaluate(model, rows_of(task, tiny, tmp_path, [pair(asked) for asked in ASKED]), range(4), 16)
    assert sums["loss"] / sums["terms"] == pytest.approx(0.693147, abs=1e-6)
    assert (sums["preferred"], sums["rows"], sums["terms"]) == (2.0, 4, 4)
    assert task.values(sums)["preferred_ahead"] == 0.5


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
    assert KTO(batch_size=2).batch_size == 2


def test_kto_never_takes_a_prompts_own_answers_for_anothers(tiny, model, tmp_path):
    task = KTO(max_prompt_length=64)
    rows = task.load(task.encode([pair(asked) for asked in ASKED[:2]], TextEncoder(tiny.tokenizer, "chat", 96), tmp_path))
    assert float(task._divergence(model, rows, [0])) == float(task._divergence(model, rows, [0, 0])) == 0.0
    assert task._divergence(model, rows, [0, 1, 0]).equal(task._divergence(model, rows, [0, 1]))


class Bigram(nn.Module):
    """The next of four tokens by the one before. At the base all are equally likely; tuned, each is by 2 ** RATIOS as likely as there."""

    RATIOS = torch.tensor([[-1.0, -1, 0, 1], [-1, 0, 1, -1], [-1, 1, 0, -1], [0, 0, 0, 0]])

    def __init__(self):
        super().__init__()
        self.tuned = nn.Parameter(self.RATIOS * math.log(2))
        self.on = True

    def forward(self, input_ids, use_cache):
        return SimpleNamespace(logits=self.tuned[input_ids.long()] * self.on)

    @contextmanager
    def disable_adapter(self):
        self.on = False
        yield
        self.on = True


def answers(right, *rows):
    """Rows of a prompt of one token and its answer."""
    tokens = torch.tensor([token for row in rows for token in row]).int()
    trained = torch.tensor([place > 0 for row in rows for place in range(len(row))])
    starts = torch.tensor([0] + [len(row) for row in rows]).cumsum(0)
    return AnswerRows(TokenRows(tokens, trained, starts, 0), torch.tensor(right), 0)


def test_the_loss_of_kto_by_hand_where_other_answers_have_become_likelier():
    # in units of ln 2: prompt 0 with the other's answer 3 has the log ratio 1, prompt 1 with 2, 1 has 1 + 1, so z = (1 + 2) / 2;
    # the rows themselves have 0 + 1, which is good and stays below z, and -1, which is bad and does so too
    rows = answers([0, -1], [0, 2, 1], [1, 3])
    task = KTO(beta=1.0, desirable_weight=1.2, undesirable_weight=0.8)
    expected = 1.2 / (1 + 2**-0.5) + 0.8 / (1 + 2**2.5)
    assert float(sum(losses(task, Bigram(), rows, [0, 1])).detach()) == pytest.approx(expected / 2)
    assert task.evaluate(Bigram(), rows, range(2), 2) == {"loss": pytest.approx(expected), "terms": 2, "right": 1, "rows": 2}


def test_the_loss_of_dpo_by_hand():
    # in units of ln 2: 0 -> 3 has the log ratio 1 and 0 -> 1 has -1; 1 -> 0 has -1 and 1 -> 1 has 0: the margins are 2 beta and -beta
    rows, task = answers([0, 0], [0, 3], [0, 1], [1, 0], [1, 1]), DPO(beta=0.5)
    expected = math.log(1 + 1 / 2) + math.log(1 + 2**0.5)
    assert float(sum(losses(task, Bigram(), rows, [0, 1])).detach()) == pytest.approx(expected / 2)
    assert task.evaluate(Bigram(), rows, range(2), 2) == {"loss": pytest.approx(expected), "terms": 2, "preferred": 1, "rows": 2}


def test_the_loss_of_orpo_by_hand():
    # pair 0: 1 -> 2 -> 0 has 1/2 x 1/8, a mean of 1/4 with odds of 1 : 3, and 1 -> 3 has odds of 1 : 7;
    # pair 1: 0 -> 1 has 1/8 with odds of 1 : 7, and 0 -> 3 has odds of 1 : 1
    rows = answers([0, 0], [1, 2, 0], [1, 3], [0, 1], [0, 3])
    task, ahead, behind = ORPO(beta=0.3), 0.3 * math.log(1 + 3 / 7), 0.3 * math.log(1 + 7)
    assert float(sum(losses(task, Bigram(), rows, [0, 1])).detach()) == pytest.approx((4 + 3) / 3 * math.log(2) + (ahead + behind) / 2)
    expected = (4 / 2 + 3) * math.log(2) + ahead + behind
    assert task.evaluate(Bigram(), rows, range(2), 2) == {"loss": pytest.approx(expected), "terms": 2, "preferred": 1, "rows": 2}


def test_a_pair_of_orpo_whose_answers_are_cut_has_a_finite_loss_beside_others():
    rows = answers([0, 0, 0], [1, 2, 0], [1, 3], [1], [1, 3], [1, 2], [1])
    (part,) = ORPO().losses(Bigram(), rows, [0, 1, 2])
    assert part.loss.isfinite()
    assert part.each().isfinite().all()


def test_a_pair_of_kto_is_on_its_side_only_with_both_answers():
    # the mean log ratio of prompts with others' answers is below zero, so z = 0; the first prompt favours its bad answer as well
    rows = answers([0, 0], [0, 3], [0, 3], [1, 2], [1, 3])
    (part,) = KTO(beta=1.0).losses(Bigram(), rows, [0, 1])
    assert float(part.loss.detach()) == pytest.approx(5 / 3 / 4)
    assert part.each().tolist() == pytest.approx([1 / 2, 1 / 3])
    sums = KTO(beta=1.0).evaluate(Bigram(), rows, range(2), 2)
    assert sums == {"loss": pytest.approx(1 / 3 + 2 / 3 + 1 / 3 + 1 / 3), "terms": 4, "right": 1, "rows": 2}


@pytest.mark.parametrize("task", [*TASKS, Classify(labels=("yes", "no"))], ids=lambda task: type(task).__name__)
def test_a_row_can_be_learned_from_when_every_answer_has_a_token_left(task):
    trained = torch.tensor([False, True, False, True, False, True, False, False])
    rows = AnswerRows(TokenRows(torch.zeros(8).int(), trained, torch.tensor([0, 2, 4, 6, 8]), 0), torch.tensor([0, 0]), 2)
    assert task.learnable(rows) == [True, False]


def test_dpo_has_the_published_settings():
    task = load_recipe({"task": {"kind": "dpo"}}).task.settings
    assert (task["beta"], task["min_learning_rate"]) == (0.1, 1e-5)
