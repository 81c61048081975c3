"""Signed distances, and other values, on a grid in space."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import grid_sample

FAR = 0.5
"""The distance in metres that is given to points which no view can judge, and the largest that is given at all."""


@dataclass(frozen=True)
class DistanceGrid:
    """Distances to a surface at the points of a grid: `distances` (nz, ny, nx) in metres, negative inside; the first point stands at
    `origin` (3,), the next ones `cell` metres further along x, y and z."""

    distances: Tensor
    origin: Tensor
    cell: float

    @property
    def top(self) -> Tensor:
        """The last point of the grid, (3,)."""
        shape = torch.tensor(self.distances.shape[::-1], dtype=self.origin.dtype, device=self.origin.device)
        return self.origin + (shape - 1) * self.cell

    def at(self, points: Tensor) -> Tensor:
        """Distances at `points` (..., 3), between the points of the grid trilinearly: (...). Outside of the grid, `FAR`."""
        volume = Volume(self.distances[None, None], self.origin, self.top)
        places = volume.places(points.reshape(-1, 3))
        found = volume.sampled(places)[0].masked_fill(places.abs().amax(dim=1) > 1, FAR)
        return found.reshape(points.shape[:-1])

    def points(self) -> Tensor:
        """The points of the grid, (nz * ny * nx, 3)."""
        return grid_points(self.origin, self.distances.shape, self.cell)


@dataclass(frozen=True)
class Volume:
    """C `values` (1, C, nz, ny, nx) at each point of a grid, whose first point stands at `origin` (3,) and the last at `top` (3,)."""

    values: Tensor
    origin: Tensor
    top: Tensor

    def at(self, points: Tensor) -> Tensor:
        """The values at `points` (N, 3), between the points of the grid trilinearly: (C, N). Outside of the grid, those at the
        nearest point of its box."""
        return self.sampled(self.places(points))

    def places(self, points: Tensor) -> Tensor:
        """Where `points` (N, 3) lie, from -1 to 1 across the box."""
        return 2 * (points - self.origin) / (self.top - self.origin) - 1

    def sampled(self, places: Tensor) -> Tensor:
        """The values at `places` (N, 3), as `at`: (C, N)."""
        return grid_sample(self.values, places[None, None, None], padding_mode="border", align_corners=True)[0, :, 0, 0]


def grid_shape(low: Tensor, high: Tensor, cell: float) -> list[int]:
    """(nz, ny, nx) of a grid of `cell` metres from `low` (3,) to `high` (3,), or as little beyond as it can be."""
    return [int(n) for n in ((high - low) / cell).ceil().long().flip(0) + 1]


def grid_points(origin: Tensor, shape: tuple[int, ...] | list[int] | torch.Size, cell: float | Tensor) -> Tensor:
    """The points of a grid of `shape` (nz, ny, nx): (nz * ny * nx, 3)."""
    z, y, x = (torch.arange(n, dtype=origin.dtype, device=origin.device) for n in shape)
    places = torch.stack(torch.meshgrid(z, y, x, indexing="ij")[::-1], dim=-1)
    return origin + places.reshape(-1, 3) * cell
