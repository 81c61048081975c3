"""The loss of each row by itself: what a private kind of gradients clips row by row."""

from dataclasses import replace

import pytest
import torch

from fedloom.data.tokenise import TokenRows
from fedloom.tasks import KTO, SFT, tasks
from fedloom.tasks.base import Task
from fedloom.tasks.row_losses import row_losses

OWN = [name for name in tasks.names() if tasks.get(name).__module__.startswith("fedloom.") and name != "radiance"]
ALONE = [name for name in OWN if not tasks.get(name).couples_rows]


def gradient(loss, model):
    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
    return torch.cat([part.flatten() for part in torch.autograd.grad(loss, trained, retain_graph=True)])


@pytest.mark.parametrize("kind", ALONE)
def test_the_loss_and_gradient_of_a_row_are_those_of_a_batch_of_that_row_alone(kind, made):
    one = made(kind)
    together = []
    for part in one.task.losses(one.model, one.rows, range(4)):
        each = part.each()
        together += [(float(loss.detach()), gradient(loss, one.model)) for loss in each]
    alone = []
    for row in range(4):
        (part,) = one.task.losses(one.model, one.rows, [row])
        alone.append((float(part.loss.detach()), gradient(part.loss, one.model)))
    together, alone = (sorted(found, key=lambda pair: pair[0]) for found in (together, alone))  # a part has its rows in an order of its own
    assert len({round(loss, 4) for loss, _ in alone}) == 4
    for (loss, slope), (expected, wanted) in zip(together, alone, strict=True):
        assert loss == pytest.approx(expected, abs=1e-5)
        torch.testing.assert_close(slope, wanted, atol=1e-4, rtol=1e-3)


@pytest.mark.parametrize("kind", [name for name in ALONE if name not in ("sft", "orpo")])
def test_the_mean_over_rows_is_the_batchs_loss_where_every_row_weighs_the_same(kind, made):
    one = made(kind)
    parts = list(one.task.losses(one.model, one.rows, range(4)))
    each = torch.cat([part.each() for part in parts])
    assert float(each.mean().detach()) == pytest.approx(sum(float(part.loss.detach()) for part in parts), abs=1e-5)


def test_the_batchs_loss_of_sft_weighs_rows_by_their_trained_tokens(made):
    one = made("sft")
    counts = one.rows.supervised_counts().tolist()
    alone = [next(iter(one.task.losses(one.model, one.rows, [row]))).each() for row in range(4)]
    whole = sum(float(part.loss.detach()) for part in one.task.losses(one.model, one.rows, range(4)))
    weighed = sum(float(loss.detach()) * count for loss, count in zip(alone, counts, strict=True)) / sum(counts)
    assert whole == pytest.approx(weighed, abs=1e-5)


def test_a_row_without_trained_tokens_has_no_loss_of_its_own(adapted):
    ids = torch.randint(3, 500, (12,), generator=torch.Generator().manual_seed(1), dtype=torch.int32)
    rows = TokenRows(ids, torch.tensor([False] * 6 + [True] * 6), torch.tensor([0, 6, 12]), 0)
    (part,) = SFT().losses(adapted, rows, [0, 1])
    losses = part.each().tolist()
    assert losses[0] == 0
    assert losses[1] > 0


def test_kto_alone_says_that_its_rows_depend_on_each_other_and_they_do(made):
    assert [name for name in OWN if tasks.get(name).couples_rows] == ["kto"]
    assert not Task.couples_rows
    one = made("kto")
    assert isinstance(one.task, KTO)

    def losses(*batch):
        return sorted(float(loss.detach()) for part in one.task.losses(one.model, one.rows, batch) for loss in part.each())

    beside = [losses(0, other) for other in (1, 2, 3)]
    alone = losses(0)
    assert any(all(abs(loss - alone[0]) > 1e-6 for loss in found) for found in beside)


@pytest.mark.parametrize("kind", OWN)
def test_the_losses_of_rows_are_given_in_the_order_of_the_rows(kind, made):
    one = made(kind)
    found = row_losses(one.model, one.task, one.rows)
    parts = [(part.rows, part.each().tolist()) for part in one.task.losses(one.model, one.rows, range(len(one.rows)))]
    expected = {row: loss for rows, losses in parts for row, loss in zip(rows, losses, strict=True)}
    assert found.tolist() == pytest.approx([expected[row] for row in range(len(one.rows))], abs=1e-6)
    assert not found.requires_grad


def test_a_task_that_does_not_tell_the_rows_of_its_parts_is_asked_for_one_at_a_time(made):
    class Silent(SFT):
        def losses(self, model, rows, indices):
            yield from (replace(part, rows=()) for part in super().losses(model, rows, indices))

    one = made("sft")
    torch.testing.assert_close(row_losses(one.model, Silent(), one.rows), row_losses(one.model, SFT(), one.rows), atol=1e-5, rtol=0)
