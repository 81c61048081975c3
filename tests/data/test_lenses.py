"""Lenses that bend straight lines."""

import numpy as np
import pytest
from capture_folders import camera

from fedloom.data.lenses import PINHOLE, Lens, bent_pixels, straight_pixels

POINTS = np.array([[0.1, 0.2], [-0.3, 0.15], [0.4, -0.35], [0.0, 0.0]])
K = np.array([[500, 0, 320], [0, 510, 240], [0, 0, 1.0]])
COEFFICIENTS = (-0.25, 0.12, 0.001, -0.002, 0.03, 0.02, -0.01, 0.005)


def test_a_point_is_bent_as_computed_by_hand():
    # r^2 = .05; factor = 1 + .2 * .05 = 1.01; tangential x: 2 * .01 * .1 * .2 = .0004; y: .01 * (.05 + 2 * .04) = .0013
    np.testing.assert_allclose(Lens(k1=0.2, p1=0.01).bent(np.array([[0.1, 0.2]])), [[0.101 + 0.0004, 0.202 + 0.0013]], atol=1e-15)


@pytest.mark.parametrize(
    ("count", "pixels"),  # of cv2.projectPoints of OpenCV 4.11
    [
        (4, [[369.34, 340.7811], [173.6534375, 314.636746875], [507.04785, 72.951737625], [320, 240]]),
        (5, [[369.3401875, 340.7814825], [173.647030273, 314.640014561], [507.183121594, 72.831007728], [320, 240]]),
        (8, [[369.292048164, 340.683278255], [173.957463107, 314.481693815], [506.254743145, 73.659585493], [320, 240]]),
    ],
)
def test_pixels_are_where_opencv_puts_them(count, pixels):
    seen = Lens(*COEFFICIENTS[:count]).bent(POINTS) @ K[:2, :2] + K[:2, 2]
    np.testing.assert_allclose(seen, pixels, atol=1e-8)


def test_the_inverse_leads_back_and_a_pinhole_bends_nothing():
    lens, taken = Lens(*COEFFICIENTS), camera(focal=500, size=(640, 480))
    pixels = POINTS * 500 + (320, 240)
    np.testing.assert_allclose(straight_pixels(taken, lens, bent_pixels(taken, lens, pixels)), pixels, atol=1e-6)
    assert np.abs(bent_pixels(taken, lens, pixels) - pixels).max() > 5
    assert PINHOLE.is_pinhole
    assert not lens.is_pinhole
    assert bent_pixels(taken, PINHOLE, pixels) is pixels


def test_where_the_polynomial_folds_the_picture_nothing_is_seen():
    lens = Lens(k1=-0.25)  # r - r^3 / 4 rises up to r^2 = 4 / 3
    edge = np.sqrt(4 / 3)
    seen = lens.bent(np.array([[edge - 0.01, 0], [0, edge + 0.01], [3, 0]]))
    assert np.isfinite(seen).all(axis=1).tolist() == [True, False, False]
    assert np.isfinite(Lens(k1=0.25).bent(np.array([[9.0, 0]]))).all()
