"""Squares that are cut out of photographs."""

from dataclasses import replace

import numpy as np
import pytest
from round_person import MIDDLE, RADII, photographed, ring

from fedloom.data.capture_layouts import Photograph
from fedloom.data.lenses import PINHOLE, Lens
from fedloom.data.records import View
from fedloom.errors import DataError
from fedloom.humans.cropping import Crop, crop_of, resampled


def test_a_crop_moves_pixels_and_the_camera_alike():
    camera = ring()[0]
    crop = Crop(left=10, top=-6, side=32, size=64)
    seen, _ = camera.seen(MIDDLE[None])
    np.testing.assert_allclose(crop.camera(camera).seen(MIDDLE[None])[0], (seen - (10, -6)) * 2)


def test_sampling_of_whole_pixels_is_exact_and_of_smaller_pictures_an_average():
    pixels = np.arange(64, dtype=np.uint8).reshape(8, 8)
    camera = replace(ring()[0], width=8, height=8)
    np.testing.assert_array_equal(resampled(pixels, camera, PINHOLE, Crop(2, 1, 4, 4)), pixels[1:5, 2:6])
    np.testing.assert_array_equal(resampled(pixels, camera, PINHOLE, Crop(0, 0, 8, 4)), pixels.reshape(4, 2, 4, 2).mean(axis=(1, 3)))
    outside = resampled(pixels, camera, PINHOLE, Crop(-4, 0, 8, 8))
    np.testing.assert_array_equal(outside[:, :4], 0)
    np.testing.assert_array_equal(outside[:, 4:], pixels[:, :4])


def test_the_square_holds_the_person_whom_a_bent_lens_shows_elsewhere(tmp_path):
    camera, lens = ring(size=(96, 80), focal=90)[0], Lens(k1=-0.3)
    photograph = Photograph(View(tmp_path / "a.png", camera), lens)
    crop = crop_of(photograph, photographed(camera, lens)[1], 64)
    seen, _ = crop.camera(camera).seen(MIDDLE + np.array([[0, 0, RADII[2]], [0, 0, -RADII[2]]]))
    assert seen[:, 1] == pytest.approx([64 * 0.08 / 1.16, 64 * (1 - 0.08 / 1.16)], abs=1.5)
    whole = crop_of(photograph, None, 64)
    assert (whole.left, whole.top, whole.side) == (0, -8, 96)
    folding = replace(photograph, lens=Lens(k1=-6.0))
    with pytest.raises(DataError, match=r"a\.png: the coefficients of its lens fold the picture where the person is"):
        crop_of(folding, np.ones((80, 96), dtype=bool), 64)
