"""Residual networks for pictures: 6 n + 2 layers, pictures of any size, and a start that the seed alone decides."""

import math

import pytest
import torch
from torch import nn

from fedloom.models.networks import PICTURE_NETWORKS, draw_weights


def drawn(network="resnet8", labels=3, seed=1, head=False):
    net = PICTURE_NETWORKS[network].empty(labels)
    draw_weights(net, seed)
    if head:  # a new head is zero, and would hide what comes before it
        nn.init.normal_(net.head.weight, generator=torch.Generator().manual_seed(0))
    return net.eval()


@pytest.mark.parametrize(("network", "layers"), [("resnet8", 8), ("resnet20", 20)])
def test_a_network_has_as_many_layers_as_its_name_says(network, layers):
    for name in (network, f"{network}-bn"):
        net = PICTURE_NETWORKS[name].empty(10)
        assert sum(isinstance(layer, nn.Linear) or is_three_by_three(layer) for layer in net.modules()) == layers


def is_three_by_three(layer):
    return isinstance(layer, nn.Conv2d) and layer.kernel_size == (3, 3)


@pytest.mark.parametrize("size", [(8, 8), (32, 32), (7, 13), (1, 1)])
@torch.no_grad()
def test_pictures_of_any_size_give_a_score_per_label(size):
    scores = drawn(head=True)(torch.rand(2, 3, *size, generator=torch.Generator().manual_seed(1)))
    assert scores.shape == (2, 3)
    assert torch.isfinite(scores).all()


@torch.no_grad()
def test_a_grey_picture_is_one_of_three_equal_channels():
    net, grey = drawn(head=True), torch.rand(2, 1, 8, 8, generator=torch.Generator().manual_seed(1))
    assert torch.equal(net(grey), net(grey.expand(-1, 3, -1, -1).contiguous()))
    assert not torch.allclose(net(grey), net(1 - grey), atol=1e-3)


@torch.no_grad()
def test_a_row_is_scored_the_same_whatever_stands_beside_it():
    net, pictures = drawn(head=True), torch.rand(4, 3, 8, 8, generator=torch.Generator().manual_seed(1))
    torch.testing.assert_close(net(pictures)[:1], net(pictures[:1]), atol=1e-5, rtol=1e-5)


def test_the_start_depends_on_the_seed_alone():
    torch.manual_seed(1)
    first = drawn(seed=5)
    torch.manual_seed(2)
    again, other = drawn(seed=5), drawn(seed=6)
    pairs = zip(first.parameters(), again.parameters(), other.named_parameters(), strict=True)
    for mine, same, (name, different) in pairs:
        assert torch.equal(mine, same)
        assert torch.equal(mine, different) == (mine.dim() != 4), name


def test_weights_are_drawn_with_variance_two_over_fan_out_and_a_new_head_prefers_no_label():
    net = drawn("resnet20")
    widest = net.blocks[-1].conv2.weight
    assert float(widest.detach().std()) == pytest.approx(math.sqrt(2 / (64 * 9)), rel=0.02)
    assert not net.head.weight.any()
    assert not net.head.bias.any()
    assert net.norm.weight.eq(1).all()
    assert not drawn()(torch.rand(2, 3, 8, 8)).any()
