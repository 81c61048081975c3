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
        found = Volume(self.distances[None, None], self.origin, self.top).at(points.reshape(-1, 3))
        outside = ((points < self.origin) | (points > self.top)).any(dim=-1)
        return found.reshape(points.shape[:-1]).masked_fill(outside, FAR)

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
        """The values at `points` (N, 3), between the points of the grid trilinearly: (N, C). Outside of the grid, those at the
        nearest point of its box."""
        places = 2 * (points - self.origin) / (self.top - self.origin) - 1
        found = grid_sample(self.values, places[None, None, None], padding_mode="border", align_corners=True)
        return found[0, :, 0, 0].T


def grid_points(origin: Tensor, shape: tuple[int, ...] | list[int] | torch.Size, cell: float | Tensor) -> Tensor:
    """The points of a grid of `shape` (nz, ny, nx): (nz * ny * nx, 3)."""
    z, y, x = (torch.arange(n, dtype=origin.dtype, device=origin.device) for n in shape)
    places = torch.stack(torch.meshgrid(z, y, x, indexing="ij")[::-1], dim=-1)
    return origin + places.reshape(-1, 3) * cell
