"""Gradients of local training: which rows are drawn for a step, and that its gradient is that of the mean loss of its batches."""

from dataclasses import dataclass
from itertools import chain
from typing import get_args

import pytest
import torch
from hypothesis import assume, given
from hypothesis import strategies as st
from torch import nn

from fedloom.data.generated_rows import Order
from fedloom.models.flat import FlatParameters
from fedloom.tasks.base import LossPart, Task
from fedloom.tasks.gradients import PlainGradients

counts = st.integers(1, 6)


def stream(seed=0):
    return torch.Generator().manual_seed(seed)


def draw(rows, task, seed=0):
    return PlainGradients().draw(rows, task, stream(seed))


@given(rows=st.integers(1, 60), batch=counts, accumulation=counts, steps=counts, seed=st.integers(0, 99))
def test_rows_are_drawn_without_replacement_and_a_small_client_loops_over_them(rows, batch, accumulation, steps, seed):
    task = Task(batch_size=batch, accumulation=accumulation, steps=steps)
    drawn = draw(rows, task, seed)
    assert drawn == draw(rows, task, seed)
    assert [len(step) for step in drawn] == [accumulation] * steps
    assert {len(one) for step in drawn for one in step} == {batch}
    flat = list(chain(*chain(*drawn)))
    once = flat[:rows]
    assert len(set(once)) == len(once)
    assert all(0 <= row < rows for row in flat)
    assert all(flat[i] == flat[i - rows] for i in range(rows, len(flat)))


def test_another_stream_draws_other_rows():
    task = Task(batch_size=4, steps=3)
    assert draw(50, task, 1) != draw(50, task, 2)


def test_a_client_with_more_rows_draws_more_steps_where_the_task_counts_passes():
    task = Task(batch_size=4, accumulation=2, passes=2)
    assert [len(draw(rows, task)) for rows in (4, 16, 40)] == [1, 4, 10]


def test_in_an_order_each_kind_of_row_gets_its_share_of_the_round_one_after_the_other():
    task = Task(batch_size=4, steps=5)  # 20 rows of a client with 6 of its own and 2 generated ones: 15 and 5
    for order, kinds in (("private_then_generated", [False] * 15 + [True] * 5), ("generated_then_private", [True] * 5 + [False] * 15)):
        drawn = list(chain(*chain(*PlainGradients().draw(8, task, stream(), order, 2))))
        assert [row >= 6 for row in drawn] == kinds
        assert {row for row in drawn if row < 6} == set(range(6))


@given(own=st.integers(0, 20), made=st.integers(0, 20), batch=counts, steps=counts, order=st.sampled_from(get_args(Order)))
def test_every_order_takes_as_many_steps_of_as_many_rows(own, made, batch, steps, order):
    assume(own + made)
    drawn = PlainGradients().draw(own + made, Task(batch_size=batch, steps=steps), stream(), order, made)
    assert [[len(one) for one in step] for step in drawn] == [[batch]] * steps
    assert all(0 <= row < own + made for row in chain(*chain(*drawn)))


def test_without_generated_rows_every_order_draws_the_same_rows():
    task = Task(batch_size=4, steps=5)
    assert all(PlainGradients().draw(30, task, stream(), order, 0) == draw(30, task) for order in get_args(Order))


@dataclass(frozen=True)
class Fit(Task):
    """(w x - y)^2, mean over the rows of a batch, one row a part."""

    def losses(self, model, rows, indices):
        for index in indices:
            x, y = rows[index]
            loss = (model.w * x - y).square().sum()
            yield LossPart(loss / len(indices), 3, lambda loss=loss: loss[None])


class Scalar(nn.Module):
    def __init__(self, w, dtype=torch.float32):
        super().__init__()
        self.w = nn.Parameter(torch.tensor([w], dtype=dtype))


ROWS = [(1.0, 0.0), (2.0, 1.0), (3.0, -1.0), (0.5, 2.0)]


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_the_gradient_is_that_of_the_mean_loss_over_the_batches_of_a_step(dtype):
    model = Scalar(2.0, dtype)
    parameters = FlatParameters(model)
    # losses (2x - y)^2: 4, 9, 49, 1; gradients 2x(2x - y): 4, 12, 42, -1
    loss, tokens = PlainGradients().add(model, parameters, Fit(), ROWS, [[0, 1], [2, 3]])
    assert loss == pytest.approx(((4 + 9) / 2 + (49 + 1) / 2) / 2)
    assert parameters.gradient.tolist() == [((4 + 12) / 2 + (42 - 1) / 2) / 2]
    assert tokens == 12


def test_gradients_are_added_to_what_is_there_so_that_steps_begin_at_zero():
    model = Scalar(2.0)
    parameters = FlatParameters(model)
    for _ in range(2):
        PlainGradients().add(model, parameters, Fit(), ROWS, [[0]])
    assert parameters.gradient.tolist() == [8.0]
    parameters.zero_gradient()
    PlainGradients().add(model, parameters, Fit(), ROWS, [[1]])
    assert parameters.gradient.tolist() == [12.0]


def test_a_row_that_comes_twice_counts_twice():
    model = Scalar(2.0)
    parameters = FlatParameters(model)
    loss, _ = PlainGradients().add(model, parameters, Fit(), ROWS, [[2, 2, 0]])
    assert loss == pytest.approx((49 + 49 + 4) / 3)
    assert parameters.gradient.tolist() == pytest.approx([(42 + 42 + 4) / 3])


def test_the_gradient_of_a_network_is_that_of_the_old_loop():
    """The sum over batches of (mean loss / batches), backpropagated in one go by PyTorch."""

    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.map = nn.Linear(3, 2)
            with torch.no_grad():
                for number, parameter in enumerate(self.map.parameters()):
                    parameter.normal_(generator=stream(number))

    @dataclass(frozen=True)
    class Squares(Task):
        def losses(self, model, rows, indices):
            for part in (indices[:1], indices[1:]):
                each = model.map(rows[part]).square().mean(1)
                yield LossPart(each.sum() / len(indices), len(part), lambda each=each: each)

    rows, step = torch.randn(8, 3, generator=stream(5)), [[0, 3, 5], [1, 2, 6]]
    plain = Net()
    (sum(plain.map(rows[batch]).square().mean() for batch in step) / 2).backward()
    model = Net()
    parameters = FlatParameters(model)
    PlainGradients().add(model, parameters, Squares(), rows, step)
    torch.testing.assert_close(parameters.gradient, torch.cat([p.grad.flatten() for p in plain.parameters()]), atol=1e-6, rtol=1e-6)
