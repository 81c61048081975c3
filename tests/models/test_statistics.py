"""Models that keep running statistics are refused, because these carry one client's data into the next client's model."""

import pytest
import torch
from torch import nn
from torch.nn.utils import spectral_norm
from torch.nn.utils.parametrizations import spectral_norm as parametrized_spectral_norm

from fedloom.errors import ModelError
from fedloom.models.flat import FlatParameters
from fedloom.models.statistics import refuse_running_statistics
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


def test_with_group_norm_nothing_of_a_clients_rows_stays_at_the_model():
    forth, back, nobody = (after_clients_in_turn(nn.GroupNorm(2, 4), order) for order in ("ab", "ba", ""))
    assert torch.equal(forth, back)
    assert torch.equal(forth, nobody)
