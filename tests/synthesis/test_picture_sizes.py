"""Pictures of one size and colour in another."""

import numpy as np
import pytest
import torch

from fedloom.data.records import Picture, Provenance
from fedloom.synthesis.picture_sizes import as_arrays, as_tensors, fitted


def test_pictures_of_the_right_size_and_colours_stay_as_they_are():
    pixels = torch.rand(2, 3, 5, 7)
    assert torch.equal(fitted(pixels, (5, 7, 3)), pixels)


@pytest.mark.parametrize(("given", "wanted"), [((8, 8), (16, 16)), ((64, 64), (28, 28)), ((20, 30), (10, 10)), ((7, 30), (11, 13))])
def test_every_size_becomes_every_other_and_a_flat_picture_stays_flat(given, wanted):
    found = fitted(torch.full((1, 1, *given), 0.4), (*wanted, 1))
    assert found.shape == (1, 1, *wanted)
    assert torch.allclose(found, torch.full_like(found, 0.4), atol=1e-6)


def test_of_a_wide_picture_the_middle_is_kept():
    wide = torch.zeros(1, 1, 4, 12)
    wide[..., 4:8] = 1
    assert torch.equal(fitted(wide, (4, 4, 1)), torch.ones(1, 1, 4, 4))


def test_a_smaller_picture_is_smoothed_and_skips_no_line():
    lines = torch.zeros(1, 1, 32, 32)
    lines[:, :, ::4] = 1
    small = fitted(lines, (8, 8, 1))
    assert small[:, :, 2:-2].std() < 0.05
    assert small.mean() == pytest.approx(0.25, abs=0.05)


def test_grey_becomes_three_channels_and_colours_become_grey_as_the_eye_sees_them():
    grey = torch.rand(1, 1, 4, 4)
    assert torch.equal(fitted(grey, (4, 4, 3)), grey.expand(1, 3, 4, 4))
    red = torch.zeros(1, 3, 4, 4)
    red[:, 0] = 1
    assert torch.allclose(fitted(red, (4, 4, 1)), torch.full((1, 1, 4, 4), 0.299))
    assert torch.allclose(fitted(grey.expand(1, 3, 4, 4), (4, 4, 1)), grey, atol=1e-6)


def test_records_become_tensors_and_arrays_again():
    pixels = np.arange(24, dtype=np.uint8).reshape(2, 4, 3)
    pictures = [Picture(pixels, "a", Provenance.PUBLIC), Picture(np.full((6, 12, 1), 255, np.uint8), "b", Provenance.PUBLIC)]
    arrays = as_arrays(as_tensors(pictures, (2, 4, 3)))
    assert [(array.shape, array.dtype.name) for array in arrays] == [((2, 4, 3), "float32")] * 2
    assert np.allclose(arrays[0] * 255, pixels, atol=1e-4)
    assert np.allclose(arrays[1], 1)
