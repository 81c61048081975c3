"""The parts of photographs that a person is in."""

import pytest
import torch

from fedloom.models.radiance.projection import looked_up
from fedloom.models.radiance.window import windows


def masks(*spans, size=(64, 96)):
    """One mask for each (top, bottom, left, right)."""
    found = torch.zeros(len(spans), *size)
    for mask, (top, bottom, left, right) in zip(found, spans, strict=True):
        mask[top:bottom, left:right] = 1
    return found


def test_windows_are_of_one_size_and_hold_each_person_with_a_margin():
    """A margin of 96 / 32 = 3 pixels; corners and sizes are even. The second is moved into the picture, the third is cut by it."""
    found = windows(masks((10, 30, 20, 41), (40, 60, 80, 92), (0, 20, 5, 8)))
    assert found.size == (28, 28)
    assert found.corners.tolist() == [[6, 16], [36, 68], [0, 2]]


def test_a_person_who_fills_the_picture_has_all_of_it():
    found = windows(masks((0, 64, 0, 96)))
    assert found.size == (64, 96)
    assert found.corners.tolist() == [[0, 0]]


@pytest.mark.parametrize("spans", [[(10, 30, 20, 41), (40, 60, 80, 92)], [(0, 64, 3, 9), (20, 21, 90, 96)]])
def test_a_place_shows_the_same_in_the_window_as_in_the_picture(spans):
    pictures = torch.rand(len(spans), 2, 64, 96, generator=torch.Generator().manual_seed(1))
    found = windows(masks(*spans))
    places = torch.rand(len(spans), 200, 2, generator=torch.Generator().manual_seed(2))
    low, high = (
        torch.tensor([[2 * one[side] / whole - 1 for side, whole in ((a, 96), (b, 64))] for one in spans]) for a, b in ((2, 0), (3, 1))
    )
    places = low[:, None] + places * (high - low)[:, None]
    assert torch.allclose(looked_up(found.cut(pictures), found.places(places)), looked_up(pictures, places), atol=1e-5)
