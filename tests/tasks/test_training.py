"""Local training: its steps are those of PyTorch's own AdamW."""

from dataclasses import dataclass

import pytest
import torch
from torch import nn

from fedloom.algorithms.base import ClientHalf
from fedloom.errors import FedloomError
from fedloom.models.flat import FlatParameters, trained_state
from fedloom.tasks.base import LossPart, Task
from fedloom.tasks.training import train


def stream(seed=0):
    return torch.Generator().manual_seed(seed)


class Line(nn.Module):
    """A linear map with dropout before it."""

    def __init__(self, dropout=0.0, dtype=torch.float32):
        super().__init__()
        self.drop = nn.Dropout(dropout)
        self.frozen = nn.Parameter(torch.ones(3), requires_grad=False)
        self.map = nn.Linear(3, 2).to(dtype)
        with torch.no_grad():
            for number, parameter in enumerate(self.map.parameters()):
                parameter.copy_(torch.randn(parameter.shape, generator=stream(number)))

    def forward(self, x):
        return self.map(self.drop(x.to(self.map.weight.dtype)))


@dataclass(frozen=True)
class Fit(Task):
    """Mean squared error, one row a part."""

    def losses(self, model, rows, indices):
        for index in indices:
            x, y = rows[index]
            loss = (model(x) - y).float().square().mean()
            yield LossPart(loss / len(indices), 1, lambda loss=loss: loss[None])


ROWS = [(torch.randn(3, generator=stream(i)), torch.randn(2, generator=stream(i + 50)) * 5) for i in range(12)]
BATCHES = [[[0, 1], [2, 3]], [[4, 5], [6, 7]], [[8, 9], [10, 11]]]


class Watch(ClientHalf):
    """Notes the gradients and weights that an algorithm is shown."""

    def __init__(self):
        self.gradients, self.weights = [], []

    def after_gradient(self, weights, gradient):
        self.gradients.append(gradient.clone())

    def after_step(self, weights, learning_rate):
        self.weights.append(weights.clone())


def trained(model, task, hooks=None, seed=3, **more):
    parameters = FlatParameters(model)
    done = train(model, parameters, task, ROWS, BATCHES, 0.05, hooks or Watch(), seed, **more)
    return done, parameters.state()


def reference(model, task):
    """The same in PyTorch's own words."""
    trained = [p for p in model.parameters() if p.requires_grad]
    optimiser = torch.optim.AdamW(trained, lr=0.05, betas=(0.9, 0.999), eps=1e-8, weight_decay=task.weight_decay)
    losses = []
    for step in BATCHES:
        optimiser.zero_grad()
        loss = sum((model(ROWS[i][0]) - ROWS[i][1]).square().mean() for one in step for i in one) / 4
        loss.backward()
        nn.utils.clip_grad_norm_(trained, task.max_grad_norm)
        optimiser.step()
        losses.append(float(loss))
    return losses, trained_state(model)


@pytest.mark.parametrize("weight_decay", [0.0, 0.1])
@pytest.mark.parametrize("max_grad_norm", [0.5, 1e9])
def test_steps_are_those_of_adamw_with_accumulation_and_clipping(weight_decay, max_grad_norm):
    task = Fit(weight_decay=weight_decay, max_grad_norm=max_grad_norm)
    (losses, expected), (done, state) = reference(Line(), task), trained(Line(), task)
    torch.testing.assert_close(state.flat, expected.flat, atol=1e-6, rtol=1e-6)
    assert done.loss == pytest.approx(sum(losses) / 3)
    assert (done.first_loss, done.steps, done.tokens) == (pytest.approx(losses[0]), 3, 12)
    assert done.seconds > 0


def test_the_optimiser_sees_gradients_of_the_allowed_norm():
    class Sees(Watch):
        def after_step(self, weights, learning_rate):
            self.weights.append(parameters.gradient.norm())

    model, hooks = Line(), Sees()
    parameters = FlatParameters(model)
    train(model, parameters, Fit(max_grad_norm=0.25), ROWS, BATCHES, 0.05, hooks, 0)
    assert min(float(gradient.norm()) for gradient in hooks.gradients) > 0.25  # the algorithm sees them before they are clipped
    assert [float(norm) for norm in hooks.weights] == pytest.approx([0.25] * 3, rel=1e-5)


def test_a_small_gradient_is_not_scaled_up():
    hooks = Watch()
    _, state = trained(Line(), Fit(max_grad_norm=1e6), hooks)
    _, same = trained(Line(), Fit(max_grad_norm=2e6))
    assert state.equals(same)


class Two(nn.Module):
    def __init__(self):
        super().__init__()
        self.w = nn.Parameter(torch.zeros(2))


@dataclass
class Given:
    """A gradient from outside, the same at every step."""

    gradient: tuple[float, float]
    clips_rows = False

    def add(self, model, parameters, task, rows, step):
        parameters.gradient += torch.tensor(self.gradient)
        return 1.0, 1


@pytest.mark.parametrize(
    ("gradient", "end"),
    [((3.0, 4.0), [-0.6, -0.8]), ((0.3, 0.4), [-0.3, -0.4]), ((0.0, -1.5), [0.0, 1.0])],
    ids=["longer", "shorter", "one axis"],
)
def test_a_gradient_is_scaled_down_to_the_greatest_norm_and_never_up(gradient, end):
    model, task = Two(), Task(optimizer="sgd", max_grad_norm=1.0)
    parameters = FlatParameters(model)
    train(model, parameters, task, [], [[[0]]], 1.0, Watch(), 0, gradients=Given(gradient))
    assert parameters.state().flat.tolist() == pytest.approx(end, abs=2e-6)


def test_an_algorithm_may_change_gradients_and_weights():
    class Freezes(ClientHalf):
        def __init__(self):
            """No state."""

        def after_gradient(self, weights, gradient):
            gradient.zero_()

    class Sets(Freezes):
        def after_step(self, weights, learning_rate):
            weights.fill_(learning_rate)

    start = trained_state(Line())
    assert trained(Line(), Fit(), Freezes())[1].equals(start)
    assert trained(Line(), Fit(), Sets())[1].flat.tolist() == pytest.approx([0.05] * 8)


def test_what_is_not_trained_stays():
    model = Line()
    trained(model, Fit())
    assert model.frozen.tolist() == [1.0] * 3


def test_dropout_comes_from_the_seed_alone_and_moves_no_global_generator():
    model = Line(dropout=0.5)
    torch.manual_seed(1)
    before = torch.get_rng_state()
    first = trained(model, Fit(), seed=3)[1]
    assert torch.equal(torch.get_rng_state(), before)
    torch.manual_seed(99)
    assert trained(Line(dropout=0.5), Fit(), seed=3)[1].equals(first)
    assert not trained(Line(dropout=0.5), Fit(), seed=4)[1].equals(first)
    assert not trained(Line(), Fit(), seed=3)[1].equals(first)


def test_two_rounds_start_with_fresh_optimiser_state():
    model = Line()
    parameters, start = FlatParameters(model), trained_state(model)
    ends = []
    for _ in range(2):
        parameters.load(start)
        train(model, parameters, Fit(), ROWS, BATCHES, 0.05, Watch(), 0)
        ends.append(parameters.state())
    assert ends[0].equals(ends[1])


def test_a_bf16_model_learns_in_fp32_masters():
    # steps of 1e-4 are lost in bf16 weights near one, and must not be
    model = Line(dtype=torch.bfloat16)
    parameters = FlatParameters(model)
    before = parameters.state()
    for _ in range(10):
        train(model, parameters, Fit(), ROWS, BATCHES, 1e-5, Watch(), 0)
    moved = (parameters.state() - before).flat.abs()
    assert 2e-5 < float(moved.min()) <= float(moved.max()) < 4e-4
    assert torch.equal(model.map.weight.float(), parameters.state()["map.weight"].bfloat16().float())


def test_a_bf16_model_computes_each_step_with_the_weights_of_the_step_before():
    class Compares(Watch):
        def after_gradient(self, weights, gradient):
            self.gradients.append(torch.equal(model.map.weight, weights[:6].view(2, 3).bfloat16()))

    model, seen = Line(dtype=torch.bfloat16), Compares()
    start = model.map.weight.clone()
    trained(model, Fit(), seen)
    assert seen.gradients == [True] * 3
    assert not torch.equal(model.map.weight, start)


def test_a_client_that_stops_leaves_its_model_in_evaluation():
    model = Line(dropout=0.5)
    with pytest.raises(FedloomError, match="late"):
        trained(model, Fit(), late=lambda: True)
    assert not any(module.training for module in model.modules())


def test_a_late_client_stops_between_steps_and_says_how_far_it_came():
    asked = iter([False, False, True])
    with pytest.raises(FedloomError, match=r"^late: 2 of 3 steps were done at the deadline$"):
        trained(Line(), Fit(), late=lambda: next(asked))


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_a_loss_that_is_not_finite_stops_the_client_before_its_weights_are_spoilt(value):
    class Breaks(Watch):
        def after_step(self, weights, learning_rate):
            weights.fill_(value)

    with pytest.raises(FedloomError, match=r"the loss is (nan|inf) at step 2; lower task.learning_rate"):
        trained(Line(), Fit(), Breaks())


def test_the_model_trains_in_training_mode_and_is_left_in_evaluation():
    model, modes = Line(), []

    class Looks(Watch):
        def after_step(self, weights, learning_rate):
            modes.append(model.training)

    model.eval()
    trained(model, Fit(), Looks())
    assert modes == [True] * 3
    assert not model.training
