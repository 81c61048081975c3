"""The denoising network: which pictures it takes, and how they are folded."""

import pytest
import torch

from fedloom.models.denoiser import draw_denoiser, empty_denoiser, square_of


@pytest.mark.parametrize(("size", "square"), [((8, 8, 1), 1), ((16, 16, 1), 1), ((28, 28, 1), 2), ((32, 32, 3), 2), ((64, 48, 3), 4)])
def test_a_picture_is_folded_until_16_places_are_left_along_its_longer_side(size, square):
    assert square_of(size) == square


@pytest.mark.parametrize("size", [(8, 8, 1), (28, 28, 1), (32, 32, 3), (30, 17, 3)])
def test_folding_is_undone_whatever_the_size(size):
    net = empty_denoiser(size, "ab")
    pixels = torch.rand(3, size[2], *size[:2], generator=torch.Generator().manual_seed(1))
    folded = net.fold(pixels)
    assert folded.shape[1:] == net.folded_shape
    assert folded.min() >= -1
    assert torch.allclose(net.unfold(folded), pixels, atol=1e-6)


@pytest.mark.parametrize("size", [(8, 8, 1), (28, 28, 1), (32, 32, 3), (30, 17, 3)])
def test_the_network_gives_a_velocity_for_every_value(size):
    net = empty_denoiser(size, "abc")
    draw_denoiser(net, seed=1)
    given = net(torch.randn(2, *net.folded_shape), torch.tensor([0.1, 0.9]), torch.tensor([0, net.any_class]))
    assert given.shape == (2, *net.folded_shape)


def test_a_network_for_fashion_pictures_has_under_half_a_million_values():
    assert sum(parameter.numel() for parameter in empty_denoiser((28, 28, 1), "0123456789").parameters()) == 450_980


def test_weights_are_drawn_by_the_seed_alone():
    torch.manual_seed(1)
    first, second, other = (empty_denoiser((8, 8, 1), "ab") for _ in range(3))
    for net, seed in ((first, 3), (second, 3), (other, 4)):
        draw_denoiser(net, seed)
    assert all(torch.equal(a, b) for a, b in zip(first.parameters(), second.parameters(), strict=True))
    assert not torch.equal(first.stem.weight, other.stem.weight)
    assert torch.initial_seed() == 1
    assert not first.head.weight.any()
