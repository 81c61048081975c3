"""The visual hull of a ball is the ball, as far as eight silhouettes tell."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from fedloom.data.capture_rows import signed_distance
from fedloom.errors import DataError
from fedloom.models.radiance.grid import FAR
from fedloom.models.radiance.hull import depth_maps, hull_distance, hull_of, ranked_distances


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


def test_what_views_say_is_told_in_order_with_the_mean_and_the_least_stands_for_missing_views(views):
    points = on_rays(views, [0.0, 0.25, 0.5])
    of_each = torch.stack([hull_distance(views.chosen([number]), points) for number in range(8)]).numpy()
    in_order = -np.sort(-of_each, axis=0)
    assert ranked_distances(views, points, 3).numpy() == pytest.approx(np.stack([*in_order[:3], of_each.mean(axis=0)]), abs=1e-6)
    two = -np.sort(-of_each[:2], axis=0)
    assert ranked_distances(views.chosen([0, 1]), points, 3).numpy() == pytest.approx(np.stack([*two, two[1], two.mean(axis=0)]), abs=1e-6)


def test_a_point_behind_a_camera_is_inside_for_it_and_behind_all_it_is_far(views):
    behind = views.chosen([0]).centres - 3 * views.R[0, 2]
    assert ranked_distances(views.chosen([0, 4]), behind, 3)[:3, 0].tolist() == pytest.approx(
        [float(hull_distance(views.chosen([4]), behind)), -FAR, -FAR]
    )
    assert ranked_distances(views.chosen([0]), behind, 3)[:, 0].tolist() == [FAR] * 4


def test_cameras_that_look_along_one_line_are_refused(views):
    with pytest.raises(DataError, match="all cameras look along the same line"):
        hull_of(views.chosen([0, 0, 0]), 0.05)


def test_the_grid_holds_the_ball_and_gives_the_distance_between_its_points(views):
    hull = hull_of(views, 0.03)
    assert (hull.origin < -0.4).all()
    assert (hull.top > 0.4).all()
    assert (hull.origin > -0.65).all()
    points = torch.rand(200, 3, generator=torch.Generator().manual_seed(1)) * 0.8 - 0.4
    assert hull.at(points).numpy() == pytest.approx(hull_distance(views, points).numpy(), abs=0.02)
    assert hull.at(hull.points()).numpy() == pytest.approx(hull.distances.reshape(-1).numpy(), abs=1e-4)
    assert hull.at(torch.tensor([9.0, 0.0, 0.0])) == FAR


def rod(views):
    """(views of a rod 2 cm thick and .9 m long that leans, points along its axis (100, 3)), 192 pixels."""
    axis = torch.tensor([0.11, -0.13, -0.37]) + torch.linspace(0, 0.9, 100)[:, None] * torch.tensor([0.48, 0.36, 0.8])
    K = views.K * torch.tensor([[4.0], [4.0], [1.0]])
    rows, columns = torch.meshgrid(torch.arange(192) + 0.5, torch.arange(192) + 0.5, indexing="ij")
    pixels = torch.stack([columns, rows, torch.ones_like(rows)], dim=-1).reshape(-1, 3)
    masks = []
    for view in range(len(views)):
        ways = torch.nn.functional.normalize(pixels @ torch.linalg.inv(K[view]).T @ views.R[view], dim=1)
        away = axis - views.centres[view]
        along = ways @ away.T
        apart = (away.square().sum(dim=1) - along.square()).clamp(min=0).sqrt()
        masks.append((apart.amin(dim=1) < 0.01).reshape(192, 192))
    silhouettes = torch.stack([torch.from_numpy(signed_distance(mask.numpy())) for mask in masks])
    masks = torch.stack(masks).float()
    return replace(
        views, pictures=masks[:, None].expand(-1, 3, -1, -1), masks=masks, parsing=masks.long(), silhouettes=silhouettes, K=K
    ), axis


@pytest.mark.parametrize("chosen", [[0, 2, 3], list(range(8))])
def test_a_hull_that_is_thinner_than_any_cell_is_not_passed_by(views, chosen):
    seen, axis = rod(views)
    hull = hull_of(seen.chosen(chosen), 0.03)
    assert ((axis > hull.origin + 0.027) & (axis < hull.top - 0.027)).all()
    assert hull.at(axis).abs().max() < 0.06  # a straight line between grid points 3 cm apart
    assert hull.at(axis).abs().mean() < 0.01


def depths_by_marching(views, hull, view, shape):
    """Depths (h, w) at which rays first meet the hull, by looking at every 2 mm; infinity where they do not."""
    height, width = shape
    rows, columns = torch.meshgrid(
        (torch.arange(height) + 0.5) * views.size[0] / height, (torch.arange(width) + 0.5) * views.size[1] / width, indexing="ij"
    )
    pixels = torch.stack([columns, rows, torch.ones_like(rows)], dim=-1).reshape(-1, 3)
    ways = pixels @ torch.linalg.inv(views.K[view]).T  # of depth 1
    depths = torch.arange(0.05, 3.5, 0.002)
    points = views.centres[view] + depths[None, :, None] * (ways @ views.R[view])[:, None]
    inside = hull.at(points) < 1e-3
    return torch.where(inside.any(dim=1), depths[inside.float().argmax(dim=1)], torch.inf).reshape(shape)


def stretched(views):
    """Pixels that are twice as wide as high, and skewed axes."""
    changed = views.K.clone()
    changed[:, 1] *= 0.5
    changed[:, 0, 1] = 3.0
    height = views.size[0] // 2
    maps = {name: getattr(views, name)[..., ::2, :] for name in ("pictures", "masks", "parsing", "silhouettes")}
    assert maps["masks"].shape[1] == height
    return replace(views, K=changed, **maps)


def near(views):
    """Cameras that see a part of the ball, whose edge is outside of every picture."""
    return replace(views, masks=torch.ones_like(views.masks), silhouettes=torch.full_like(views.silhouettes, -5.0))


@pytest.mark.parametrize("changed", [lambda views: views, stretched, near])
def test_depths_of_the_hull_are_where_rays_first_meet_it(views, changed):
    """All of them but a few that graze it, whatever the pixels' shape, and where a person is cut by the picture."""
    seen = changed(views)
    hull = hull_of(seen, 0.03)
    found = depth_maps(seen, hull)
    for view in (0, 3):
        marched = depths_by_marching(seen, hull, view, found.shape[2:])
        met, expected = found[view, 0] < found.amax() - 1e-3, marched.isfinite()
        assert expected.sum() > 500
        assert (met != expected).float().mean() < 0.001
        apart = (found[view, 0] - marched)[met & expected].abs()
        assert apart.mean() < 0.003
        assert (apart > 0.03).float().mean() < 0.01


def test_the_middle_of_the_near_side_of_a_ball_is_its_radius_nearer_than_its_centre(views):
    depths = depth_maps(views, hull_of(views, 0.03))
    assert depths[0, 0, 62:66, 62:66].numpy() == pytest.approx(1.1, abs=0.01)
    assert depths[0, 0, 0, 0] > 1.9


def test_silhouettes_without_a_common_point_are_refused(views):
    turned = replace(views, t=views.t + torch.tensor([0.75, 0.0, 0.0]) * torch.tensor([[1.0], [-1.0]] * 4))
    with pytest.raises(DataError, match=r"no point of space is inside of all silhouettes; .*humans capture check"):
        hull_of(turned, 0.05)
    with pytest.raises(DataError, match="a mask is empty"):
        hull_of(replace(views, masks=views.masks * 0), 0.05)
