"""The coarse visual hull of a person's masks."""

import numpy as np
import pytest
from round_person import MIDDLE, RADII, photographed, ring

from fedloom.data.lenses import PINHOLE
from fedloom.humans.coarse_hull import Silhouette, height_of, hull_grid, meeting_point


@pytest.fixture(scope="module")
def silhouettes():
    return [Silhouette(camera, PINHOLE, photographed(camera)[1]) for camera in ring()]


def test_lines_meet_where_they_are_nearest_and_parallel_ones_nowhere():
    origins = np.array([[0.0, 0, 0], [1, -1, 0]])
    across = np.array([[1.0, 0, 0], [0, 1, 0]])
    np.testing.assert_allclose(meeting_point(origins, across), [1, 0, 0], atol=1e-12)
    np.testing.assert_allclose(meeting_point(origins + np.diag([0, 0, 1])[[2, 0]], across), [1, 0, 0.5], atol=1e-12)
    assert meeting_point(origins, across[[0, 0]]) is None


def test_the_hull_holds_the_person_explains_every_mask_and_is_as_tall(silhouettes):
    grid = hull_grid(silhouettes)
    held = np.all([one.holds(grid) for one in silhouettes], axis=0)
    inside = (((grid - MIDDLE) / RADII) ** 2).sum(axis=1) < 0.85
    assert held[inside].mean() > 0.99
    assert held.sum() < 2 * (((grid - MIDDLE) / RADII) ** 2 < 1).all(axis=1).sum()
    assert min(one.explained(grid[held]) for one in silhouettes) > 0.95
    assert height_of(silhouettes, grid[held], np.array([0, 0, 1.0])) == pytest.approx(1.7, abs=0.06)


def test_a_mask_at_the_edge_of_its_picture_rules_out_nothing_behind_it(silhouettes):
    whole = silhouettes[0]
    mask = whole.mask.copy()
    mask[:, : int(whole.middle[0])] = True
    cut = Silhouette(whole.camera, PINHOLE, mask)
    outside = whole.camera.centre + 3 * whole.camera.rays(np.array([[-20.0, 32.0]]))
    assert (whole.is_cut, cut.is_cut) == (False, True)
    assert (whole.holds(outside)[0], cut.holds(outside)[0]) == (False, True)
    assert height_of([cut] * 4, outside, np.array([0, 0, 1.0])) is None
