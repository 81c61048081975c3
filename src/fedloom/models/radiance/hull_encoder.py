"""The hull encoder: how the hull is shaped around each point of space.

A hull of few silhouettes is larger than the person, and its shape tells where: at the edges between two silhouettes, and in volumes that
all of them allow, such as between arm and trunk.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.functional import interpolate, relu

from fedloom.data.capture_rows import Views
from fedloom.models.radiance.grid import DistanceGrid, Volume, grid_points
from fedloom.models.radiance.hull import ranked_distances

RANKS = 3
"""How many distances to silhouettes are told of a point: the first is that to the hull, and near its edges the second is as great."""
FURTHEST = 0.3
"""Metres at which distances are cut off, on both sides."""
STEP = 0.06
"""Metres between the points of the grid."""


class HullEncoder(nn.Module):
    """A U-Net in space: distances to silhouettes (1, RANKS + 1, nz, ny, nx) -> (1, channels, nz, ny, nx).

    All sides are odd, so that every second point of the fine level is one of the coarse level, corners included.
    """

    def __init__(self, width: int, channels: int) -> None:
        super().__init__()
        wider = width * 4 // 3
        self.first = nn.Conv3d(RANKS + 1, width, 3, 1, 1)
        self.second = nn.Conv3d(width, width, 3, 1, 1)
        self.down = nn.Conv3d(width, wider, 3, 2, 1)
        self.deep = nn.Conv3d(wider, wider, 3, 1, 1)
        self.up = nn.Conv3d(wider, width, 1)
        self.last = nn.Conv3d(width, channels, 3, 1, 1)

    def forward(self, distances: Tensor) -> Tensor:
        fine = relu(self.first(distances))
        fine = fine + relu(self.second(fine))
        coarse = relu(self.down(fine))
        coarse = coarse + relu(self.deep(coarse))
        fine = fine + interpolate(self.up(coarse), size=fine.shape[2:], mode="trilinear", align_corners=True)
        found: Tensor = self.last(relu(fine))
        return found

    def around(self, views: Views, hull: DistanceGrid) -> Volume:
        """The network's values over the box of the `hull` of `views`."""
        shape = [2 * int((side / (2 * STEP)).ceil()) + 1 for side in (hull.top - hull.origin).flip(0)]
        with torch.no_grad():
            distances = ranked_distances(views, grid_points(hull.origin, shape, STEP), RANKS).clamp(-FURTHEST, FURTHEST) / FURTHEST
        top = hull.origin + STEP * (hull.origin.new_tensor(shape[::-1]) - 1)
        return Volume(self(distances.reshape(1, RANKS + 1, *shape)), hull.origin, top)
