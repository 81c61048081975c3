"""Rays through pixels, and where along them the surface can be."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from fedloom.data.capture_rows import Views
from fedloom.models.radiance.grid import DistanceGrid
from fedloom.models.radiance.person import Band

BINS = 96
"""Parts of the way through the grid that are looked at before samples are placed."""


@dataclass(frozen=True)
class Rays:
    """`origins` and unit `directions` (N, 3)."""

    origins: Tensor
    directions: Tensor

    def at(self, depths: Tensor) -> Tensor:
        """Points at `depths` (N, S), in metres along the rays: (N, S, 3)."""
        return self.origins[:, None] + depths[:, :, None] * self.directions[:, None]


def rays_through(views: Views, view: int, pixels: Tensor) -> Rays:
    """The rays of one view through the centres of `pixels` (N, 2), column and row; those between pixels have fractions."""
    (fx, skew, cx), (_, fy, cy), _ = views.K[view].tolist()
    y = (pixels[:, 1] + 0.5 - cy) / fy
    x = (pixels[:, 0] + 0.5 - cx - skew * y) / fx
    directions = torch.stack([x, y, torch.ones_like(x)], dim=1) @ views.R[view]
    directions = directions / directions.norm(dim=1, keepdim=True)
    return Rays(views.centres[view].expand(len(pixels), -1), directions)


def joined(parts: Sequence[Rays]) -> Rays:
    """The rays of all `parts`, in their order."""
    return Rays(torch.cat([part.origins for part in parts]), torch.cat([part.directions for part in parts]))


@torch.no_grad()
def sampled_depths(near: Band, rays: Rays, samples: int, even: bool = False) -> Tensor:
    """Depths (N, samples), in order, at which the surface can be: in the band `near`, up to the first place that lies so deep
    inside that the surface must have been met.

    Every ray has its samples over all such places, also where it passes an arm before the trunk. They are drawn from torch's global stream,
    one in each of `samples` equal parts; `even`: the middles of the parts. A ray that misses the band has them anywhere.
    """
    first, last = through_box(near.grid, rays)
    edges = torch.linspace(0, 1, BINS + 1, device=first.device)
    starts = first[:, None] + (last - first)[:, None] * edges
    middles = (starts[:, 1:] + starts[:, :-1]) / 2
    distances = near.grid.at(rays.at(middles))
    met = (distances < -near.inside).cumsum(dim=1) > 0
    wanted = ((distances < near.outside) & ~met).float()
    shares = wanted + 1e-4
    ends = (shares / shares.sum(dim=1, keepdim=True)).cumsum(dim=1)
    places = torch.full_like(ends[:, :samples], 0.5) if even else torch.rand(len(ends), samples, device=ends.device)
    places = (places + torch.arange(samples, device=ends.device)) / samples
    bins = torch.searchsorted(ends, places.contiguous()).clamp(max=BINS - 1)
    before = torch.cat([torch.zeros_like(ends[:, :1]), ends], dim=1).gather(1, bins)
    width = (ends.gather(1, bins) - before).clamp(min=1e-9)
    return starts.gather(1, bins) + (places - before) / width * ((last - first) / BINS)[:, None]


def through_box(grid: DistanceGrid, rays: Rays) -> tuple[Tensor, Tensor]:
    """Depths (N,) at which rays enter the grid and leave it; of a ray that misses it, a short way anywhere."""
    slopes = 1 / torch.where(rays.directions.abs() < 1e-9, 1e-9, rays.directions)
    first, second = (grid.origin - rays.origins) * slopes, (grid.top - rays.origins) * slopes
    near = torch.minimum(first, second).amax(dim=1).clamp(min=0)
    far = torch.maximum(first, second).amin(dim=1)
    return near, torch.maximum(far, near + 1e-3)
