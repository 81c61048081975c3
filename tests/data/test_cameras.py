"""Cameras: where points are seen, which way pixels look, and matrices that cannot be."""

import json

import numpy as np
import pytest
from capture_folders import camera

from fedloom.data.cameras import camera_of, looking_at
from fedloom.errors import DataError

TURNED = [[0, -1, 0], [0, 0, -1], [1, 0, 0]]
"""A camera that looks along the world's x axis, with the world's z up."""


def test_points_are_seen_where_hand_computed():
    one = camera(focal=100, size=(40, 30), R=TURNED, t=(0, 0, 2))  # stands at x = -2
    assert one.centre == pytest.approx([-2, 0, 0])
    assert one.forward == pytest.approx([1, 0, 0])
    pixels, depths = one.seen(np.array([[0, 0, 0], [0, 0.2, 0], [2, 0, 0.4], [-3, 0, 0]], dtype=float))
    # (u, v) = (20 - 100 y / depth, 15 - 100 z / depth)
    assert pixels[:3] == pytest.approx(np.array([[20, 15], [10, 15], [20, 5]]))
    assert depths == pytest.approx([2, 2, 4, -1])


def test_a_ray_through_the_pixel_of_a_point_leads_to_the_point():
    rng = np.random.default_rng(7)
    points = rng.uniform(-0.5, 0.5, (50, 3))
    one = camera(focal=120, size=(64, 48), R=TURNED, t=(0.1, -0.2, 3))
    pixels, _ = one.seen(points)
    towards = points - one.centre
    assert one.rays(pixels) == pytest.approx(towards / np.linalg.norm(towards, axis=1, keepdims=True))


def test_a_scaled_picture_has_its_points_at_scaled_pixels():
    one, points = camera(focal=100, size=(40, 30)), np.array([[0.1, 0.2, 1.0]])
    smaller = one.scaled(20, 10)
    assert smaller.seen(points)[0] == pytest.approx(one.seen(points)[0] * [1 / 2, 1 / 3])
    assert smaller.pixel_centres()[[0, 1, 20, -1]].tolist() == [[0.5, 0.5], [1.5, 0.5], [0.5, 1.5], [19.5, 9.5]]


def test_a_camera_is_read_as_it_was_written():
    one = camera(focal=100, R=TURNED)
    assert camera_of(json.loads(json.dumps(one.plain())), "view 1").plain() == one.plain()


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ({"K": [[1, 0], [0, 1]]}, "K should be 3 x 3 finite numbers"),
        ({"K": "wide"}, "K should be 3 x 3 finite numbers"),
        ({"t": [0, 0, float("nan")]}, "t should be 3 finite numbers"),
        ({"K": [[-5, 0, 1], [0, 5, 1], [0, 0, 1]]}, "focal lengths above 0"),
        ({"K": [[5, 0, 1], [0, 5, 1], [0, 0, 2]]}, "K should be"),
        ({"R": [[2, 0, 0], [0, 1, 0], [0, 0, 1]]}, "R is no rotation"),
        ({"R": [[-1, 0, 0], [0, 1, 0], [0, 0, 1]]}, "R mirrors the world"),
        ({"width": 0}, "width should be the picture's width in pixels"),
        ({"height": True}, "height should be the picture's height in pixels"),
    ],
)
def test_a_camera_that_cannot_be_is_one_line(change, problem):
    with pytest.raises(DataError, match=f"^view 3: .*{problem}") as caught:
        camera_of(camera().plain() | change, "view 3")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("key", ["K", "R", "t"])
def test_a_missing_matrix_is_named(key):
    with pytest.raises(DataError, match=f"view 3: has no {key}"):
        camera_of({name: value for name, value in camera().plain().items() if name != key}, "view 3")


def test_a_camera_that_looks_at_a_point_shows_it_in_the_middle_with_up_upwards():
    one = looking_at(np.array([3.0, -4.0, 1.0]), np.array([0.0, 0.0, 1.0]), 50.0, 40, 30)
    pixels, depths = one.seen(np.array([[0, 0, 1], [0, 0, 2], [4, 3, 1]], dtype=float))
    assert pixels == pytest.approx(np.array([[20, 15], [20, 5], [70, 15]]))
    assert depths == pytest.approx([5, 5, 5])
    assert camera_of(one.plain(), "it").centre == pytest.approx([3, -4, 1])
