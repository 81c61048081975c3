"""How the hull is shaped around a point is told by convolutions in space, at the place of the point."""

import numpy as np
import pytest
import torch
from scipy.ndimage import correlate, map_coordinates

from fedloom.models.radiance.hull import hull_of, ranked_distances
from fedloom.models.radiance.hull_encoder import FURTHEST, RANKS, HullEncoder


@pytest.fixture
def encoder():
    net = HullEncoder(3, 2)
    with torch.no_grad():
        for weight in net.parameters():
            weight.normal_(0, 0.3, generator=torch.Generator().manual_seed(weight.numel()))
    return net.requires_grad_(False)


def convolved(layer, values):
    """A convolution of 3 x 3 x 3 by SciPy, of `values` (channels, nz, ny, nx)."""
    weight, offset = layer.weight.numpy(), layer.bias.numpy()
    of_each = [sum(correlate(one, kernel, mode="constant") for one, kernel in zip(values, row, strict=True)) for row in weight]
    return np.stack(of_each) + offset[:, None, None, None]


def test_the_network_is_that_of_scipy_and_its_coarse_points_are_every_second_fine_one(encoder):
    assert encoder.first.weight.shape[1] == RANKS + 1 == 4
    distances = torch.randn(1, RANKS + 1, 7, 5, 9, generator=torch.Generator().manual_seed(1))
    fine = np.maximum(convolved(encoder.first, distances[0].numpy()), 0)
    fine = fine + np.maximum(convolved(encoder.second, fine), 0)
    coarse = np.maximum(convolved(encoder.down, fine)[:, ::2, ::2, ::2], 0)
    coarse = coarse + np.maximum(convolved(encoder.deep, coarse), 0)
    up = np.einsum("oi,izyx->ozyx", encoder.up.weight.numpy()[:, :, 0, 0, 0], coarse) + encoder.up.bias.numpy()[:, None, None, None]
    halves = np.stack(np.meshgrid(*(np.arange(side) / 2 for side in (7, 5, 9)), indexing="ij"))
    fine = fine + np.stack([map_coordinates(one, halves, order=1) for one in up])
    expected = convolved(encoder.last, np.maximum(fine, 0))
    assert encoder(distances)[0].numpy() == pytest.approx(expected, abs=1e-4)


def test_what_is_told_of_a_place_is_what_the_network_says_there(encoder, views):
    hull = hull_of(views, 0.03)
    found = encoder.around(views, hull)
    assert (found.top >= hull.top).all()
    assert all(side % 2 == 1 for side in found.values.shape[2:])
    ends = torch.stack([found.origin - 5, found.top + 5])  # outside of the grid, its corners
    assert torch.allclose(found.at(ends), torch.stack([found.values[0, :, 0, 0, 0], found.values[0, :, -1, -1, -1]], dim=1))
    z, y, x = (side // 2 for side in found.values.shape[2:])
    step = (found.top - found.origin) / (torch.tensor(found.values.shape[2:]).flip(0) - 1)
    assert step.tolist() == pytest.approx([0.06] * 3)
    place = found.origin + step * torch.tensor([x, y, z])
    assert found.at(place[None])[:, 0].tolist() == pytest.approx(found.values[0, :, z, y, x].tolist(), abs=1e-4)
    between = found.values[0, :, z, y, x : x + 2].mean(dim=1)
    assert found.at(place[None] + step * torch.tensor([0.5, 0, 0]))[:, 0].tolist() == pytest.approx(between.tolist(), abs=1e-4)
    points = found.origin + step * torch.cartesian_prod(*(torch.arange(side) for side in found.values.shape[2:])).flip(1)
    distances = ranked_distances(views, points, RANKS).clamp(-FURTHEST, FURTHEST) / FURTHEST
    assert torch.allclose(encoder(distances.reshape(1, RANKS + 1, *found.values.shape[2:])), found.values, atol=1e-4)
