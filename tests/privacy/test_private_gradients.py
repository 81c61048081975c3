"""DP-SGD's step: Poisson batches, no row above the clipping norm, noise of the right size, nothing that depends on the batch's size."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest
import torch
from made_tasks import make
from torch import nn

from fedloom.models.flat import FlatParameters
from fedloom.privacy.gradients import PrivateGradients, norms
from fedloom.tasks.base import LossPart, Task
from fedloom.tasks.sft import parts_of_similar_length
from fedloom.tasks.training import train


def private(clip=1.0, noise=0.0, rate=0.5, expected=4, seed=0):
    return PrivateGradients(clip, noise, rate, expected, np.random.default_rng(seed))


@dataclass(frozen=True)
class Lines(Task):
    """Rows (x, y) with the loss (w x - y)^2 / 2; its batch loss is what a mean over tokens is: not the mean over rows."""

    def losses(self, model, rows, indices):
        for row in indices:
            x, y = rows[row]
            each = ((model.w * x - y).square() / 2).sum().reshape(1)
            yield LossPart(each.sum() * x / sum(rows[i][0] for i in indices), 3, lambda each=each: each)


class Scalar(nn.Module):
    def __init__(self, w):
        super().__init__()
        self.w = nn.Parameter(torch.tensor([w]))


ROWS = [(1.0, 0.0), (2.0, 1.0), (3.0, -1.0), (0.5, 2.0)]
"""At w = 2 their gradients x (w x - y) are 2, 6, 21 and -0.5."""


def scalar_sum(rows, **settings):
    model = Scalar(2.0)
    parameters = FlatParameters(model)
    gradients = private(**settings)
    loss, tokens = gradients.add(model, parameters, Lines(), ROWS, [rows])
    return parameters.gradient.item(), loss, tokens


def test_rows_are_clipped_one_by_one_and_divided_by_the_expected_number():
    value, loss, tokens = scalar_sum([0, 1, 2, 3], clip=5.0, expected=4)
    assert value == pytest.approx((2 + 5 + 5 - 0.5) / 4, rel=1e-5)  # the clipped mean over tokens would be another
    assert (loss, tokens) == (0.0, 12)
    assert scalar_sum([1], clip=5.0, expected=4)[0] == pytest.approx(5 / 4, rel=1e-5)  # not divided by the rows that were drawn
    assert scalar_sum([0, 3], clip=100.0, expected=2)[0] == pytest.approx(0.75, rel=1e-5)


def test_an_empty_batch_gets_its_noise_and_no_other_gradient():
    assert scalar_sum([])[0] == 0
    drawn = [scalar_sum([], noise=2.0, clip=3.0, expected=4, seed=seed)[0] for seed in range(2000)]
    assert np.std(drawn) == pytest.approx(2.0 * 3.0 / 4, rel=0.05)
    assert np.mean(drawn) == pytest.approx(0, abs=0.1)


def test_the_noise_on_every_value_has_the_standard_deviation_that_is_accounted(tmp_path):
    made = make("sft", tmp_path)
    gradients = private(clip=0.5, noise=1.5, expected=8, seed=3)
    gradients.add(made.model, made.parameters, made.task, made.rows, [[]])
    values = made.parameters.gradient.double()
    assert float(values.std()) == pytest.approx(1.5 * 0.5 / 8, rel=0.02)
    assert abs(float(values.mean())) < 4 * 1.5 * 0.5 / 8 / len(values) ** 0.5
    first = values.clone()
    made.parameters.zero_gradient()
    gradients.add(made.model, made.parameters, made.task, made.rows, [[]])
    second = made.parameters.gradient.double()
    assert abs(float(torch.corrcoef(torch.stack([first, second]))[0, 1])) < 0.03, "every step has noise of its own"


@pytest.mark.parametrize("kind", ["sft", "dpo", "classify_head", "classify_pictures"])
@pytest.mark.parametrize("clip", [0.01, 1.0, 1e4])
def test_no_row_moves_the_sum_by_more_than_the_clipping_norm(kind, clip, tmp_path):
    made = make(kind, tmp_path)
    made.model.train()
    gradients = private(clip=clip)
    for row in range(4):
        made.parameters.zero_gradient()
        gradients.add_clipped(made.model, made.parameters, made.task, made.rows, [[row]])
        moved = float(made.parameters.gradient.double().norm())
        assert 0 < moved <= clip
        if clip == 0.01:
            assert moved == pytest.approx(clip, rel=1e-5)


def test_norms_of_long_rows_are_exact_to_single_precision():
    row = torch.full((1, 5_000_000), 0.1)
    assert float(norms(row)) == pytest.approx(0.1 * 5_000_000**0.5, rel=1e-6)


def test_a_row_whose_gradient_is_not_finite_adds_nothing():
    class Breaks(Lines):
        def losses(self, model, rows, indices):
            for row in indices:
                each = (model.w * (float("inf") if row == 1 else 1.0)).sum().reshape(1)
                yield LossPart(each.sum(), 1, lambda each=each: each)

    model = Scalar(2.0)
    parameters = FlatParameters(model)
    private(clip=5.0).add_clipped(model, parameters, Breaks(), ROWS, [[0, 1, 2]])
    assert parameters.gradient.item() == pytest.approx(2.0, rel=1e-5)


def test_every_row_is_drawn_by_itself_with_the_sample_rate():
    steps = private(rate=0.1).draw(1000, Lines(steps=400))
    sizes = np.array([len(batch) for (batch,) in steps])
    counts = np.bincount(np.concatenate([batch for (batch,) in steps]), minlength=1000)
    assert len(steps) == 400
    assert sizes.mean() == pytest.approx(100, rel=0.02)
    assert sizes.std() == pytest.approx((1000 * 0.1 * 0.9) ** 0.5, rel=0.15), "a Poisson batch has no fixed size"
    assert counts.std() == pytest.approx((400 * 0.1 * 0.9) ** 0.5, rel=0.15)
    assert all(len(set(batch)) == len(batch) for (batch,) in steps)
    assert private(rate=1.0).draw(3, Lines(steps=1)) == [[[0, 1, 2]]]


@pytest.mark.parametrize("adapter", [True, False])
def test_parts_and_accumulation_change_nothing(adapter, tmp_path, monkeypatch):
    made = make("sft", tmp_path, adapter=adapter)

    def clipped(step):
        made.parameters.zero_gradient()
        private(clip=0.3).add_clipped(made.model, made.parameters, made.task, made.rows, step)
        return made.parameters.gradient.clone()

    whole = clipped([[0, 1, 2, 3]])
    torch.testing.assert_close(clipped([[0, 1], [2, 3]]), whole, atol=2e-6, rtol=1e-4)
    torch.testing.assert_close(clipped([[3, 1, 0, 2]]), whole, atol=2e-6, rtol=1e-4)
    small = lambda lengths, indices, rows=None, tokens=0: parts_of_similar_length(lengths, indices, 1)  # noqa: E731
    monkeypatch.setattr("fedloom.tasks.sft.parts_of_similar_length", small)
    torch.testing.assert_close(clipped([[0, 1, 2, 3]]), whole, atol=2e-6, rtol=1e-4)


class Noop:
    def after_gradient(self, weights, gradient): ...

    def after_step(self, weights, learning_rate): ...


def test_at_the_second_step_the_clipped_sum_of_every_trained_tensor_is_not_zero(tmp_path):
    """Before noise: noise and weight decay would move a tensor that is not trained, and A has no gradient while B is zero."""
    made = make("sft", tmp_path)
    start = made.parameters.state().flat.clone()
    for name, (begin, end, _) in made.parameters.layout.slices.items():
        if "lora_B" in name:
            start[begin:end] = 0
    made.parameters.weights.copy_(start)
    made.parameters.publish()
    seen = []

    class Watched(PrivateGradients):
        def add_clipped(self, model, parameters, task, rows, step):
            found = super().add_clipped(model, parameters, task, rows, step)
            seen.append(parameters.gradient.clone())
            return found

    gradients = Watched(1.0, 0.1, 1.0, 4, np.random.default_rng(1))
    train(made.model, made.parameters, made.task, made.rows, [[[0, 1, 2, 3]]] * 2, 1e-2, Noop(), 0, gradients=gradients)
    for name, (begin, end, _) in made.parameters.layout.slices.items():
        assert bool(seen[0][begin:end].any()) == ("lora_B" in name), name
        assert bool(seen[1][begin:end].any()), name


def test_without_noise_and_clipping_a_private_step_is_the_plain_step_over_rows(tmp_path):
    """Every row once, no row clipped: the mean over rows of their own mean losses."""
    made = make("classify", tmp_path)
    private(clip=1e9, expected=4).add(made.model, made.parameters, made.task, made.rows, [[0, 1, 2, 3]])
    found = made.parameters.gradient.clone()
    made.parameters.zero_gradient()
    sum(part.loss for part in made.task.losses(made.model, made.rows, range(4))).backward()
    made.parameters.gather()
    torch.testing.assert_close(found, made.parameters.gradient, atol=2e-6, rtol=1e-4)


def test_the_gradient_of_a_private_step_is_not_scaled_down_again(tmp_path):
    made = make("sft", tmp_path)
    seen = []

    class Watches(Noop):
        def after_step(self, weights, learning_rate):
            seen.append(made.parameters.gradient.clone())

    gradients = private(clip=10.0, noise=5.0, expected=1)
    train(made.model, made.parameters, made.task, made.rows, [[[0]]], 1e-3, Watches(), 0, gradients=gradients)
    assert float(seen[0].norm()) > 10 * made.task.max_grad_norm
