"""The optimisers of local training: their steps are PyTorch's, and Adam goes on from kept moments as if it had never paused."""

import pytest
import torch
from torch import nn

from fedloom.tasks.base import Task
from fedloom.tasks.optimizers import make_optimizer, moments_of

RATE = 0.05


def gradients(steps):
    return [torch.randn(5, generator=torch.Generator().manual_seed(i)) for i in range(steps)]


def stepped(task, weights, wanted, moments=None):
    weights = nn.Parameter(weights.clone())
    optimizer = make_optimizer(task, weights, RATE, moments)
    for gradient in wanted:
        weights.grad = gradient.clone()
        optimizer.step()
    return weights.detach(), moments_of(optimizer, weights)


@pytest.mark.parametrize("weight_decay", [0.0, 0.1])
def test_adam_goes_on_from_its_moments_to_the_same_bits(weight_decay):
    task = Task(weight_decay=weight_decay)
    whole, last = stepped(task, torch.ones(5), gradients(7))
    halfway, moments = stepped(task, torch.ones(5), gradients(7)[:3])
    resumed, after = stepped(task, halfway, gradients(7)[3:], moments)
    assert torch.equal(resumed, whole)
    assert after.keys() == last.keys() == {"step", "exp_avg", "exp_avg_sq"}
    assert all(torch.equal(after[name], last[name]) for name in last)
    assert not torch.equal(stepped(task, halfway, gradients(7)[3:])[0], whole)


def test_moments_that_were_handed_over_are_not_changed_by_later_steps():
    halfway, moments = stepped(Task(), torch.ones(5), gradients(3))
    before = {name: value.clone() for name, value in moments.items()}
    stepped(Task(), halfway, gradients(3), moments)
    assert all(torch.equal(moments[name], before[name]) for name in before)


def test_sgd_is_the_plain_formula_and_has_nothing_to_keep():
    weights, moments = stepped(Task(optimizer="sgd", weight_decay=0.1), torch.ones(5), gradients(3))
    expected = torch.ones(5)
    for gradient in gradients(3):
        expected = expected - RATE * (gradient + 0.1 * expected)
    torch.testing.assert_close(weights, expected)
    assert moments == {}
