"""The visual hull: distances to silhouettes, what a view has a say on, and silhouettes that enclose nothing."""

import numpy as np
import pytest
import torch
from capsule_people import looking_at
from capture_folders import camera

from fedloom.data.capture_rows import signed_distance
from fedloom.errors import DataError
from fedloom.humans.silhouettes import UNSEEN, silhouettes

SIZE = (40, 40)


def square(left, top, right, bottom):
    mask = np.zeros(SIZE[::-1], dtype=bool)
    mask[top:bottom, left:right] = True
    return mask


def crossed(*masks):
    """Silhouettes seen by two cameras that look along y and along x from 2 m away: a pixel is 2 cm at the origin."""
    cameras = [looking_at((0, 0, 0), position, 100, SIZE) for position in ((0, -2, 0), (2, 0, 0))]
    return silhouettes(cameras, masks)


MIDDLE = square(10, 10, 30, 30)
"""From -20 to 20 cm, two metres away."""


def test_the_distance_to_an_edge_is_counted_from_between_the_pixels():
    found = signed_distance(np.array([[False, False, True, True, True, False]]))
    assert found.tolist() == [[1.5, 0.5, -0.5, -1.5, -0.5, 0.5]]


def test_distances_in_pictures_are_carried_to_metres_at_the_depth_of_the_point():
    hull = crossed(MIDDLE, MIDDLE)
    points = np.array([[0, 0, 0], [0.15, 0, 0], [0.27, 0, 0], [0, 0, -0.3], [0.23, 0, 0.23]])
    # Pixels of the first view: 20, 27.5, 33.5, 20, 31.5 from the left; those of the second are no farther outside than they. The edge is
    # the middle between two pixels' centres, which are half a pixel away: there is no more than 9.5 inside of 20 pixels.
    assert hull(points)[:3] == pytest.approx([-9.5 * 0.02, -2.5 * 0.02, 3.5 * 0.02], abs=1e-6)
    assert hull(points)[3] == pytest.approx(5 * 0.02, abs=0.01)
    assert hull(points)[4] > 0.03


def test_the_box_holds_what_the_silhouettes_have_in_common():
    box = crossed(MIDDLE, MIDDLE).box
    assert box == pytest.approx(np.array([[-0.2, -0.2, -0.2], [0.2, 0.2, 0.2]]), rel=0.25)
    assert (np.abs(box) > 0.2).all()


def test_a_point_behind_a_camera_that_sees_the_whole_person_is_outside():
    hull = crossed(MIDDLE, MIDDLE)
    assert hull(np.array([[0.0, -2.5, 0.0]]))[0] >= 0.5 - 1e-6


def test_a_view_that_cuts_the_person_off_says_nothing_beyond_its_picture():
    """The first view shows the chest only; the second shows a tall person whole."""
    close, whole = square(10, 0, 30, 40), square(15, 2, 25, 38)
    hull = crossed(close, whole)
    above = np.array([[0, 0, 0.5], [0, 0, 0.35]])
    assert (looking_at((0, 0, 0), (0, -2, 0), 100, SIZE).seen(above)[0][0] < 0).any()
    assert hull(above[:1])[0] == pytest.approx(0.5 - 0.36, abs=0.01)  # by the second view alone
    assert hull(above[1:])[0] < 0
    assert hull.box[1, 2] > 0.35


def test_a_point_that_no_view_has_a_say_on_is_outside():
    both = crossed(square(10, 0, 30, 30), square(10, 10, 30, 40))
    assert both(np.array([[0.0, 0.0, 3.0]]))[0] == UNSEEN


def test_the_distance_grows_no_faster_than_one_pixel_a_pixel_beyond_the_window():
    hull = crossed(square(18, 10, 20, 12), MIDDLE)
    points = np.stack([np.linspace(-0.5, 0.5, 400), np.zeros(400), np.linspace(0.4, -0.5, 400)], axis=1)
    values = hull.by_view(torch.from_numpy(points).float())[0].numpy()
    assert np.abs(np.diff(values)).max() < 1.05 * np.linalg.norm(points[1] - points[0])


def test_the_hull_is_differentiable():
    hull = crossed(MIDDLE, MIDDLE)
    points = torch.tensor([[0.27, 0.01, 0.0], [0.5, -0.02, 0.0], [0.02, 0.01, 0.0], [0.0, -2.5, 0.1]], requires_grad=True)
    hull.hull(points).sum().backward()
    assert points.grad[:2].numpy() == pytest.approx(np.array([[1, 0, 0], [1, 0, 0]]), abs=0.3)
    assert points.grad.isfinite().all()


def test_an_empty_mask_is_named():
    with pytest.raises(DataError, match="the mask of view 2 is empty: leave the view out"):
        crossed(MIDDLE, square(0, 0, 0, 0))


def test_silhouettes_that_do_not_meet_are_refused():
    with pytest.raises(DataError, match="no volume in common: their cameras or masks do not belong together"):
        crossed(square(10, 1, 30, 8), square(10, 30, 30, 38))


def test_views_from_one_side_enclose_nothing():
    with pytest.raises(DataError, match="enclose no volume: add a view from another side"):
        silhouettes([camera(focal=100, size=SIZE)], [MIDDLE])


def test_pictures_of_different_sizes_go_together():
    small = looking_at((0, 0, 0), (2, 0, 0), 50, (20, 20))
    first = looking_at((0, 0, 0), (0, -2, 0), 100, SIZE)
    mixed = silhouettes([first, small], [MIDDLE, MIDDLE[::2, ::2]])
    points = np.random.default_rng(7).uniform(-0.4, 0.4, (50, 3))
    assert mixed(points) == pytest.approx(crossed(MIDDLE, MIDDLE)(points), abs=0.02)
