"""The visual hull of a ball is the ball, as far as eight silhouettes tell."""

from dataclasses import replace

import pytest
import torch

from fedloom.errors import DataError
from fedloom.models.radiance.grid import FAR
from fedloom.models.radiance.hull import depth_maps, hull_distance, hull_of


def on_rays(views, lengths):
    """Points at `lengths` from the middle of the ball, square to the axis of the first camera: on the edge of its silhouette."""
    return torch.stack([views.R[0, 0] * length for length in lengths])


def test_the_distance_to_the_hull_is_that_to_the_edge_of_a_silhouette(views):
    """At 1.5 m with a focal length of 62.4 pixels, the edge of a ball of .4 m is .415 m from the axis in the plane through its middle,
    and the edge of the picture is what a point outside of it is taken for."""
    found = hull_distance(views.chosen([0]), on_rays(views, [0.25, 0.35, 0.5, 1.0]))
    edge = 0.4 / (1 - (0.4 / 1.5) ** 2) ** 0.5
    assert found.tolist() == pytest.approx([0.25 - edge, 0.35 - edge, 0.5 - edge, 24 * 1.5 / 62.4 - edge], abs=0.015)


def test_every_view_has_a_say_and_points_that_no_view_has_are_far(views):
    points = on_rays(views, [0.0, 0.25, 0.5])
    of_each = torch.stack([hull_distance(views.chosen([number]), points) for number in range(8)])
    assert torch.equal(hull_distance(views, points), of_each.amax(dim=0))
    behind = views.chosen([0]).centres - 3 * views.R[0, 2]
    assert hull_distance(views.chosen([0]), behind).tolist() == [FAR]
    assert hull_distance(views, behind).tolist() == [FAR]


def test_the_grid_holds_the_ball_and_gives_the_distance_between_its_points(views):
    hull = hull_of(views, 0.03)
    assert (hull.origin < -0.4).all()
    assert (hull.top > 0.4).all()
    assert (hull.origin > -0.65).all()
    points = torch.rand(200, 3, generator=torch.Generator().manual_seed(1)) * 0.8 - 0.4
    assert hull.at(points).numpy() == pytest.approx(hull_distance(views, points).numpy(), abs=0.02)
    assert hull.at(hull.points()).numpy() == pytest.approx(hull.distances.reshape(-1).numpy(), abs=1e-4)
    assert hull.at(torch.tensor([9.0, 0.0, 0.0])) == FAR


def test_depths_of_the_hull_are_those_of_its_near_side(views):
    depths = depth_maps(views, hull_of(views, 0.03))
    middle = depths[0, 0, 62:66, 62:66]
    assert middle.numpy() == pytest.approx(1.1, abs=0.01)  # 1.5 m less the radius
    assert depths[0, 0, 0, 0] > 1.9


def test_silhouettes_without_a_common_point_are_refused(views):
    turned = replace(views, t=views.t + torch.tensor([0.75, 0.0, 0.0]) * torch.tensor([[1.0], [-1.0]] * 4))
    with pytest.raises(DataError, match=r"no point of space is inside of all silhouettes; .*humans capture check"):
        hull_of(turned, 0.05)
    with pytest.raises(DataError, match="a mask is empty"):
        hull_of(replace(views, masks=views.masks * 0), 0.05)
