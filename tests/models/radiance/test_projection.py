"""Where points are seen in views, held to the cameras themselves."""

import numpy as np
import pytest
import torch

from fedloom.models.radiance.projection import looked_up, seen


def test_points_are_seen_where_their_cameras_see_them(ball_record, views):
    points = np.random.default_rng(1).uniform(-1, 1, (40, 3))
    where = seen(views, torch.tensor(points, dtype=torch.float32))
    for number, view in enumerate(ball_record.views):
        pixels, depths = view.camera.seen(points)
        assert where.depths[number].numpy() == pytest.approx(depths, abs=1e-5)
        assert ((where.places[number].numpy() + 1) * 24) == pytest.approx(pixels, abs=1e-3)


def test_what_is_behind_a_camera_or_beside_its_picture_is_not_inside(views):
    centre, forward = views.centres[0], views.R[0, 2]
    points = torch.stack([centre + forward, centre - forward, centre + forward + views.R[0, 0]])
    assert seen(views, points).inside[0].tolist() == [True, False, False]


def test_a_look_up_at_a_pixels_centre_is_the_pixel(views):
    places = torch.tensor([[3.5, 7.5]]) / 24 - 1
    found = looked_up(views.pictures, places.expand(8, 1, 2))
    assert torch.allclose(found[:, :, 0], views.pictures[:, :, 7, 3], atol=1e-6)
