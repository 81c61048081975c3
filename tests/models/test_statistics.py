"""Running statistics are carried, frozen, or refused, because they would take one client's data into the next client's model."""

import pytest
import torch
from torch import nn
from torch.nn.utils import spectral_norm
from torch.nn.utils.parametrizations import spectral_norm as parametrized_spectral_norm

from fedloom.errors import ModelError
from fedloom.models.flat import FlatParameters
from fedloom.models.statistics import CarriedBatchNorm2d, freeze_statistics, refuse_mixed_rows, refuse_running_statistics
from fedloom.models.trainable import make_trainable


class Network(nn.Module):
    """Two inputs, a layer in the middle, one output."""

    def __init__(self, middle):
        super().__init__()
        self.first = nn.Linear(2, 4)
        self.middle = middle
        self.last = nn.Linear(4, 1)
        stream = torch.Generator().manual_seed(1)
        with torch.no_grad():
            for layer in (self.first, self.last):
                for parameter in layer.parameters():
                    parameter.normal_(generator=stream)

    def forward(self, x):
        return self.last(self.middle(self.first(x)))


@pytest.mark.parametrize(
    ("layer", "named"),
    [
        (nn.BatchNorm1d(4), "'middle' is a BatchNorm1d"),
        (nn.BatchNorm2d(4, affine=False), "'middle' is a BatchNorm2d"),
        (nn.SyncBatchNorm(4), "'middle' is a SyncBatchNorm"),
        (nn.InstanceNorm1d(4, track_running_stats=True), "'middle' is a InstanceNorm1d"),
        (nn.Sequential(nn.ReLU(), nn.BatchNorm1d(4)), "'middle.1' is a BatchNorm1d"),
        (parametrized_spectral_norm(nn.Linear(4, 4)), "'middle.parametrizations.weight.0' is a SpectralNorm"),
        (spectral_norm(nn.Linear(4, 4)), "'middle' is a Linear with spectral norm"),
    ],
    ids=str,
)
def test_a_layer_with_running_statistics_is_refused_by_its_name(layer, named):
    with pytest.raises(ModelError) as caught:
        refuse_running_statistics(Network(layer))
    assert str(caught.value).startswith(f"model.id: its layer {named}, which keeps running statistics of the rows it sees")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "layer",
    [nn.GroupNorm(2, 4), nn.LayerNorm(4), nn.BatchNorm1d(4, track_running_stats=False), nn.InstanceNorm1d(4), nn.Dropout(0.5)],
    ids=str,
)
def test_a_layer_that_keeps_nothing_passes(layer):
    refuse_running_statistics(Network(layer))


def test_a_model_is_looked_at_before_it_is_made_trainable():
    with pytest.raises(ModelError, match="BatchNorm1d"):
        make_trainable(Network(nn.BatchNorm1d(4)), None, seed=1)


ROWS = {name: torch.randn(8, 2, generator=torch.Generator().manual_seed(number)) + 3 * number for number, name in enumerate("ab")}
PROBE = torch.tensor([[1.0, -1.0], [0.5, 2.0]])


def after_clients_in_turn(layer, order):
    """What the model that all began with says to `PROBE`, once the clients in `order` have trained from it in turn."""
    model = Network(layer)
    parameters = FlatParameters(model)
    start = parameters.state()
    for client in order:
        parameters.load(start)
        model.train()
        optimiser = torch.optim.SGD(model.parameters(), lr=0.1)
        model(ROWS[client]).square().mean().backward()
        optimiser.step()
    parameters.load(start)
    with torch.no_grad():
        return model.eval()(PROBE)


def test_the_leak_with_batch_norm_the_joined_model_depends_on_who_trained_last():
    forth, back = (after_clients_in_turn(nn.BatchNorm1d(4), order) for order in ("ab", "ba"))
    assert not torch.allclose(forth, back, atol=0.01)
    assert not torch.allclose(forth, after_clients_in_turn(nn.BatchNorm1d(4), ""), atol=0.01)


def test_with_a_carried_norm_nothing_of_a_clients_rows_stays_at_the_model():
    def after(order):
        torch.manual_seed(1)
        model = nn.Sequential(CarriedBatchNorm2d(3), nn.Conv2d(3, 1, 5))
        parameters = FlatParameters(model)
        start = parameters.state()
        for client in order:
            model.train()(pictures(1) + 9 * (client == "b")).square().mean().backward()
            parameters.load(start)
        return model.eval()(pictures(3))

    assert torch.equal(after("ab"), after("ba"))
    assert torch.equal(after("ab"), after(""))


def test_with_group_norm_nothing_of_a_clients_rows_stays_at_the_model():
    forth, back, nobody = (after_clients_in_turn(nn.GroupNorm(2, 4), order) for order in ("ab", "ba", ""))
    assert torch.equal(forth, back)
    assert torch.equal(forth, nobody)


def pictures(seed, rows=4):
    return torch.randn(rows, 3, 5, 5, generator=torch.Generator().manual_seed(seed))


def test_a_carried_norm_passes_and_is_loaded_with_every_state():
    model = nn.Sequential(nn.Conv2d(3, 4, 1), CarriedBatchNorm2d(4))
    refuse_running_statistics(model)
    parameters = FlatParameters(model)
    assert [name for name, _ in parameters.layout.entries][-2:] == ["1.running_mean", "1.running_var"]
    assert parameters.layout.numel - parameters.trained == 8
    start = parameters.state()
    model.train()(pictures(1) + 5)
    assert not torch.equal(parameters.state()["1.running_mean"], start["1.running_mean"])
    parameters.load(start)
    assert torch.equal(model[1].running_mean, torch.zeros(4))
    assert torch.equal(model[1].running_var, torch.ones(4))


def test_variances_that_rounding_has_made_negative_are_loaded_as_zero():
    parameters = FlatParameters(nn.Sequential(nn.Conv2d(3, 4, 1), CarriedBatchNorm2d(4)))
    state = parameters.state()
    state["1.running_var"].copy_(torch.tensor([-1e-3, 0.5, 0.0, 2.0]))
    state["1.running_mean"].copy_(torch.tensor([-1.0, 0.5, 0.0, 2.0]))
    parameters.load(state)
    assert parameters.state()["1.running_var"].tolist() == [0.0, 0.5, 0.0, 2.0]
    assert parameters.state()["1.running_mean"].tolist() == [-1.0, 0.5, 0.0, 2.0]


@pytest.mark.parametrize("training", [True, False])
def test_a_carried_norm_computes_what_torchs_own_does(training):
    ours, theirs = CarriedBatchNorm2d(3), nn.BatchNorm2d(3)
    for layer in (ours, theirs):
        with torch.no_grad():
            layer.weight.copy_(torch.tensor([1.0, 2.0, 0.5]))
        layer.running_mean.copy_(torch.tensor([0.5, 0.0, -0.5]))
        layer.train(training)
    assert torch.equal(ours(pictures(1)), theirs(pictures(1)))
    assert torch.equal(ours.running_mean, theirs.running_mean)
    assert torch.equal(ours.running_var, theirs.running_var)


def test_statistics_of_a_model_in_bf16_are_moved_in_fp32():
    model = nn.Sequential(CarriedBatchNorm2d(3)).to(torch.bfloat16)
    parameters, exact = FlatParameters(model), nn.BatchNorm2d(3)
    assert model[0].weight.dtype == torch.bfloat16
    for step in range(20):
        rows = pictures(step).to(torch.bfloat16)
        assert model.train()(rows).dtype == torch.bfloat16
        exact(rows.float())
    torch.testing.assert_close(parameters.state()["0.running_var"], exact.running_var)
    torch.testing.assert_close(parameters.state()["0.running_mean"], exact.running_mean)


def test_a_frozen_norm_takes_a_row_alone_as_it_takes_it_among_others_and_keeps_nothing():
    model = nn.Sequential(nn.Conv2d(3, 4, 1), CarriedBatchNorm2d(4))
    model.train()(pictures(1) + 5)
    assert freeze_statistics(model)
    before = model[1].running_mean.clone()
    model.train()
    torch.testing.assert_close(model(pictures(2))[:1], model(pictures(2)[:1]))
    assert torch.equal(model[1].running_mean, before)
    assert [name for name, _ in FlatParameters(model).layout.entries] == ["0.weight", "0.bias", "1.weight", "1.bias"]
    assert not freeze_statistics(nn.Linear(2, 2))


@pytest.mark.parametrize("layer", [CarriedBatchNorm2d(4), nn.BatchNorm1d(4, track_running_stats=False)], ids=str)
def test_a_layer_that_mixes_rows_is_refused_where_rows_are_private(layer):
    with pytest.raises(ModelError, match=r"model\.id: its layer 'middle' is a BatchNorm, which mixes the rows of a batch"):
        refuse_mixed_rows(Network(layer))
    refuse_mixed_rows(Network(nn.GroupNorm(2, 4)))
