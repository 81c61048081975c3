"""Rays, and where along them samples are placed."""

from dataclasses import replace

import pytest
import torch

from fedloom.models.radiance.grid import DistanceGrid
from fedloom.models.radiance.hull import hull_of
from fedloom.models.radiance.person import Band
from fedloom.models.radiance.rays import Rays, rays_through, sampled_depths

REACH, OUTSIDE = 0.1, 0.03


def test_a_ray_leads_from_the_camera_through_the_centre_of_its_pixel(ball_record, views):
    pixels = torch.tensor([[3, 7], [24, 24], [40, 11]])
    rays, camera = rays_through(views, 2, pixels), ball_record.views[2].camera
    assert torch.allclose(rays.origins[0], torch.tensor(camera.centre, dtype=torch.float32), atol=1e-5)
    assert torch.allclose(rays.directions, torch.tensor(camera.rays(pixels.numpy() + 0.5), dtype=torch.float32), atol=1e-5)


def test_a_ray_goes_by_both_focal_lengths_and_by_the_skew(views):
    """(60.5 - 50 - 5 y) / 100 to the right and y = (70.5 - 40) / 80 down, for a depth of 1."""
    K = torch.tensor([[100.0, 5.0, 50.0], [0.0, 80.0, 40.0], [0.0, 0.0, 1.0]]).expand_as(views.K)
    seen = rays_through(replace(views, K=K), 2, torch.tensor([[60, 70]])).directions[0] @ views.R[2].T
    y = 30.5 / 80
    assert (seen / seen[2]).tolist() == pytest.approx([(10.5 - 5 * y) / 100, y, 1.0], abs=1e-5)


def test_samples_are_in_order_where_the_surface_can_be(views):
    """Through the middle of the ball: from a little before it to as deep inside as the surface can lie, and nothing of the far side."""
    hull = Band(hull_of(views, 0.03), REACH, OUTSIDE)
    rays = rays_through(views, 0, torch.tensor([[24, 24]]))
    depths = sampled_depths(hull, rays, 32, even=True)[0]
    assert bool((depths.diff() > 0).all())
    assert 1.1 - OUTSIDE - 0.03 < depths[0] < 1.1
    assert 1.1 < depths[-1] < 1.1 + REACH + 0.05


def test_a_ray_past_an_arm_and_through_the_trunk_has_samples_at_both():
    """Two balls one behind the other, of which the ray cuts the nearer one at its rim."""
    hull = DistanceGrid(torch.zeros(51, 51, 51), torch.full((3,), -1.0), 0.04)
    points = hull.points().reshape(51, 51, 51, 3)
    near, far = torch.tensor([0.6, 0.0, 0.13]), torch.tensor([-0.5, 0.0, 0.0])
    two = torch.minimum((points - near).norm(dim=-1) - 0.15, (points - far).norm(dim=-1) - 0.4)
    both = Band(replace(hull, distances=two), REACH, OUTSIDE)
    rays = Rays(torch.tensor([[3.0, 0.0, 0.0]]), torch.tensor([[-1.0, 0.0, 0.0]]))
    x_of = 3.0 - sampled_depths(both, rays, 32, even=True)[0]
    assert int((x_of > 0.3).sum()) >= 8
    assert int((x_of < 0.0).sum()) >= 8
    assert float(x_of.min()) > -0.3


def test_drawn_samples_lie_one_in_each_part_and_come_again_with_the_seed(views):
    hull, rays = Band(hull_of(views, 0.03), REACH, OUTSIDE), rays_through(views, 0, torch.tensor([[24, 24], [20, 30]]))

    def drawn(seed):
        with torch.random.fork_rng():
            torch.manual_seed(seed)
            return sampled_depths(hull, rays, 16)

    assert torch.equal(drawn(1), drawn(1))
    assert not torch.equal(drawn(1), drawn(2))
    step = sampled_depths(hull, rays, 16, even=True).diff()
    assert bool(((drawn(1) - sampled_depths(hull, rays, 16, even=True)).abs() <= step.amax(dim=1, keepdim=True)).all())
