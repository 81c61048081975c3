"""The visual hull: the largest body that has the silhouettes that were seen."""

from __future__ import annotations

import torch
from torch import Tensor

from fedloom.data.capture_rows import Views
from fedloom.errors import DataError
from fedloom.models.radiance.grid import FAR, DistanceGrid, grid_points, grid_shape
from fedloom.models.radiance.projection import NEAREST, Seen, looked_up, seen
from fedloom.models.radiance.rays import Rays, joined, rays_through, through_box

COARSE = 20
"""Cells along a side of the cube in which the hull is looked for first; where it may be, it is looked for with cells of half the side."""
DEPTH_SIDE = 128
"""Pixels along the longer side of a map of depths."""
TRACED = 64
"""Steps of sphere tracing, at the most."""
TOGETHER = 4
"""Steps that all rays go before those that have met the hull, or left its grid, are taken out."""
INTO = 1e-4
"""How far inside of the grid, in metres, a ray is first looked at: on its side, rounding decides what is inside."""
MET = 1e-3
"""How near to the hull, in metres, a ray has met it."""


def hull_distance(views: Views, points: Tensor) -> Tensor:
    """h(x) (N,) in metres of `points` (N, 3): the greatest over the views of the distance to the silhouette where x is seen, times depth
    over focal length. Outside of a picture its nearest pixel tells, so that a person who is cut off may go on there; views that have x
    behind them have no say."""
    where = seen(views, points)
    return greatest(silhouette_distances(views, where), where)


def greatest(distances: Tensor, where: Seen) -> Tensor:
    """h (N,) of points that are seen at `where`, from `distances` (V, N) to silhouettes."""
    return _said(distances, where).amax(dim=0)


def ranked_distances(views: Views, points: Tensor, ranks: int) -> Tensor:
    """What all views say of `points` (N, 3): the `ranks` greatest distances to silhouettes, in order, and the mean, (ranks + 1, N) in
    metres. With fewer views than ranks the smallest is repeated. A view that has the point behind it says `-FAR`; all of them, `FAR`."""
    where = seen(views, points)
    said = _said(silhouette_distances(views, where), where)
    ranked = said.sort(dim=0, descending=True).values
    return torch.cat([ranked[[min(rank, len(views) - 1) for rank in range(ranks)]], said.mean(dim=0, keepdim=True)])


def _said(distances: Tensor, where: Seen) -> Tensor:
    """`distances` (V, N), and `-FAR` of views that have a point behind them; where all of them have, `FAR`."""
    ahead = where.depths > NEAREST
    return distances.masked_fill(~ahead, -FAR).masked_fill(~ahead.any(dim=0), FAR)


def silhouette_distances(views: Views, where: Seen) -> Tensor:
    """For each view the distance to its silhouette, in metres at the depth of the point: (V, N), between -`FAR` and `FAR`."""
    pixels = looked_up(views.silhouettes[:, None], where.places)[:, 0]
    return (pixels * where.depths / _focal(views)[:, None]).clamp(-FAR, FAR)


def _focal(views: Views) -> Tensor:
    """(V,) in pixels: the longer of both axes' focal lengths, so that a distance is never more than it is."""
    return torch.maximum(views.K[:, 0, 0], views.K[:, 1, 1])


@torch.no_grad()
def hull_of(views: Views, cell: float) -> DistanceGrid:
    """The hull on a grid of `cell` metres, with a margin of two cells. Raises DataError where no point is inside of all silhouettes."""
    centre, radius = _ball(views)
    low, high = centre - radius, centre + radius
    for step in (2 * float(radius) / COARSE, float(radius) / COARSE):
        points = grid_points(low, grid_shape(low, high, step), step)
        near = points[hull_distance(views, points) < step]
        if not len(near):
            raise DataError("no point of space is inside of all silhouettes; check cameras and masks with `fedloom humans capture check`")
        low, high = near.amin(dim=0) - step, near.amax(dim=0) + step
    low, high = near.amin(dim=0) - 2 * cell, near.amax(dim=0) + 2 * cell
    shape = grid_shape(low, high, cell)
    distances = hull_distance(views, grid_points(low, shape, cell)).reshape(shape)
    return DistanceGrid(distances, low, cell)


@torch.no_grad()
def depth_maps(views: Views, hull: DistanceGrid) -> Tensor:
    """The depth at which each view first meets the hull: (V, 1, h, w) in metres, with `DEPTH_SIDE` pixels along the longer side; where it
    meets none, a depth beyond all of it. By sphere tracing (Hart 1996): each step goes as far as the hull is away. A ray that enters the
    grid inside of the hull, since a person is cut by the picture, meets it there."""
    height, width = shape = [max(1, round(side * DEPTH_SIDE / max(views.size))) for side in views.size]
    rows, columns = (side * (torch.arange(count) + 0.5) / count - 0.5 for side, count in zip(views.size, shape, strict=True))
    pixels = torch.cartesian_prod(rows, columns).flip(1).to(views.K)
    places = 2 * (pixels + 0.5) / pixels.new_tensor(views.size[::-1]) - 1
    shown = looked_up(views.silhouettes[:, None], places.expand(len(views), -1, -1))[:, 0] < max(views.size) / DEPTH_SIDE / 2
    rays = joined([rays_through(views, view, pixels[own]) for view, own in enumerate(shown)])
    along = _first_met(hull, rays)
    depths = along * (rays.directions * views.R[shown.nonzero()[:, 0], 2]).sum(dim=1)
    beyond = seen(views, torch.stack([hull.origin, hull.top])).depths.amax() + 1
    found = beyond.expand(shown.shape).clone()
    found[shown] = torch.where(along.isfinite(), depths, beyond)
    return found.reshape(len(views), 1, height, width)


def _first_met(hull: DistanceGrid, rays: Rays) -> Tensor:
    """How far along each ray the hull is first met, (N,) in metres; infinity where it is not."""
    first, last = through_box(hull, rays)
    along, found = first + INTO, torch.full_like(first, torch.inf)
    going = (along < last - INTO).nonzero()[:, 0]
    for _ in range(0, TRACED, TOGETHER):
        at, origins, directions = along[going], rays.origins[going], rays.directions[going]
        for _ in range(TOGETHER):
            gaps = hull.at(origins + at[:, None] * directions)
            met = gaps < MET
            at += gaps.masked_fill(met, 0.0)
        found[going[met]] = at[met]
        along[going] = at
        going = going[~met & (at < last[going] - INTO)]
    return found


def _ball(views: Views) -> tuple[Tensor, Tensor]:
    """(centre (3,), radius) of a ball that holds the person, in whole centimetres: where the lines through the middles of the masks come
    nearest to one another, in the least-squares sense, and what the largest mask spans there.

    Whole centimetres, since the last bits of a solution may differ from one call to the next, and the grid would differ with them.
    """
    middles, halves = zip(*(_middle(mask) for mask in views.masks), strict=True)
    pixels = torch.cat([torch.stack(middles), views.K.new_ones(len(views), 1)], dim=1).double()
    directions = (views.R.transpose(1, 2).double() @ torch.linalg.solve(views.K.double(), pixels[:, :, None]))[:, :, 0]
    directions = directions / directions.norm(dim=1, keepdim=True)
    across = torch.eye(3).to(pixels) - directions[:, :, None] * directions[:, None]
    try:
        meeting = torch.linalg.solve(across.sum(dim=0), (across @ views.centres.double()[:, :, None]).sum(dim=0))[:, 0]
    except torch.linalg.LinAlgError:
        raise DataError("all cameras look along the same line; check them with `fedloom humans capture check`") from None
    centre = (100 * meeting).round().to(views.K) / 100
    depths = seen(views, centre[None]).depths[:, 0]
    return centre, (120 * (torch.stack(halves) * depths / torch.minimum(views.K[:, 0, 0], views.K[:, 1, 1])).amax()).ceil() / 100


def _middle(mask: Tensor) -> tuple[Tensor, Tensor]:
    """Of the box around a mask (H, W) the middle (x, y) and half of the longer side, in pixels."""
    rows, columns = (mask.amax(dim=axis).nonzero()[:, 0] for axis in (1, 0))
    if not len(rows):
        raise DataError("a mask is empty; check cameras and masks with `fedloom humans capture check`")
    low, high = torch.stack([columns[0], rows[0]]), torch.stack([columns[-1], rows[-1]]) + 1
    return (low + high).to(mask) / 2, (high - low).amax().to(mask) / 2
