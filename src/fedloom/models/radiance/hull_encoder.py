"""The hull encoder: how the hull is shaped around each point of space.

A hull of few silhouettes is larger than the person, and its shape tells where: at the edges between two silhouettes, and in volumes that
all of them allow, such as between arm and trunk.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.functional import conv2d, interpolate, pad, relu

from fedloom.data.capture_rows import Views
from fedloom.models.radiance.grid import DistanceGrid, Volume, grid_points
from fedloom.models.radiance.hull import ranked_distances

RANKS = 3
"""How many distances to silhouettes are told of a point: the first is that to the hull, and near its edges the second is as great."""
FURTHEST = 0.3
"""Metres at which distances are cut off, on both sides."""
STEP = 0.06
"""Metres between the points of the grid."""


class VolumeConv(nn.Conv3d):
    """A convolution of one volume (1, C, nz, ny, nx) with a kernel of the odd `side`, zeros around the volume.

    It is computed as one of slices, each beside those that the kernel reaches: PyTorch takes a slow way with a single small volume, and
    this one is four times faster, backwards too.
    """

    def __init__(self, channels: int, found: int, side: int, stride: int = 1) -> None:
        super().__init__(channels, found, side, stride, side // 2)

    def forward(self, volume: Tensor) -> Tensor:
        assert len(volume) == 1, "one volume at a time"
        side, step, around = self.kernel_size[0], self.stride[0], self.kernel_size[0] // 2
        slices = pad(volume[0].transpose(0, 1), (0, 0, 0, 0, 0, 0, around, around))
        last = len(slices) - side
        reached = torch.cat([slices[first : first + last + 1 : step] for first in range(side)], dim=1)
        kernel = self.weight.transpose(1, 2).flatten(1, 2)
        return conv2d(reached, kernel, self.bias, step, around).transpose(0, 1)[None]


class HullEncoder(nn.Module):
    """A U-Net in space: distances to silhouettes (1, RANKS + 1, nz, ny, nx) -> (1, channels, nz, ny, nx).

    All sides are odd, so that every second point of the fine level is one of the coarse level, corners included.
    """

    def __init__(self, width: int, channels: int) -> None:
        super().__init__()
        wider = width * 4 // 3
        self.first = VolumeConv(RANKS + 1, width, 3)
        self.second = VolumeConv(width, width, 3)
        self.down = VolumeConv(width, wider, 3, 2)
        self.deep = VolumeConv(wider, wider, 3)
        self.up = VolumeConv(wider, width, 1)
        self.last = VolumeConv(width, channels, 3)

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
