"""Where points of the world are seen in views, and what the views show there."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import grid_sample

from fedloom.data.capture_rows import Views

NEAREST = 0.05
"""Depth in metres below which a point counts as behind the camera."""


@dataclass(frozen=True)
class Seen:
    """N points in V views: `places` (V, N, 2) from -1 to 1 across a picture, `depths` (V, N) in metres, `inside` bool (V, N): whether a
    point lies within the picture, in front of the camera."""

    places: Tensor
    depths: Tensor
    inside: Tensor


def seen(views: Views, points: Tensor) -> Seen:
    """Where `points` (N, 3) are seen."""
    height, width = views.size
    to_places = views.K / views.K.new_tensor([[width / 2], [height / 2], [1.0]])
    to_places = torch.cat([to_places[:, :2] - to_places[:, 2:], to_places[:, 2:]], dim=1)  # pixels from -1 to 1 across the picture
    turned, moved = (to_places @ views.R).reshape(-1, 3), (to_places @ views.t[:, :, None]).reshape(-1, 1)
    projected = torch.addmm(moved, turned, points.T).reshape(len(views), 3, -1)
    depths = projected[:, 2]
    places = projected[:, :2] / depths[:, None].clamp(min=NEAREST)
    inside = (places.abs().amax(dim=1) <= 1) & (depths > NEAREST)
    return Seen(places.transpose(1, 2), depths, inside)


def looked_up(maps: Tensor, places: Tensor) -> Tensor:
    """What `maps` (V, C, h, w) hold at `places` (V, N, 2), bilinearly: (V, C, N). Outside, what is at the edge."""
    found = grid_sample(maps, places[:, None], mode="bilinear", padding_mode="border", align_corners=False)
    return found[:, :, 0]
