"""The parts of photographs that a person is in: what lies around them is never looked at closely."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

MARGIN = 32
"""The picture's longer side divided by this is left around the person, in pixels. Where that side spans a metre or more, it is more than
the 3 cm by which samples of rays may lie off the hull; what lies further off shows the features of the window's edge."""
GRAIN = 2
"""Windows begin and end at multiples of this many pixels where the picture allows: the encoder halves a picture at once."""


@dataclass(frozen=True)
class Windows:
    """One part of each of V pictures of `picture` (H, W) pixels: `corners` (V, 2), the first row and column, and `size` (rows, columns)."""

    picture: tuple[int, int]
    corners: Tensor
    size: tuple[int, int]

    def cut(self, maps: Tensor) -> Tensor:
        """The parts of `maps` (V, C, H, W): (V, C, rows, columns)."""
        rows, columns = self.size
        return torch.stack([one[:, y : y + rows, x : x + columns] for one, (y, x) in zip(maps, self.corners.tolist(), strict=True)])

    def places(self, places: Tensor) -> Tensor:
        """Where `places` (V, N, 2), from -1 to 1 across whole pictures, lie in the parts, from -1 to 1 across these."""
        (height, width), (rows, columns) = self.picture, self.size
        scale = places.new_tensor([width / columns, height / rows])
        moved = (places.new_tensor([width, height]) - 2 * self.corners.flip(1)) / places.new_tensor([columns, rows]) - 1
        return torch.addcmul(moved[:, None], places, scale)


def windows(masks: Tensor) -> Windows:
    """The smallest windows of one size that hold the person in each of the `masks` (V, H, W), with a margin."""
    picture = int(masks.shape[1]), int(masks.shape[2])
    margin = -(-max(picture) // MARGIN)
    spans = [_spans(masks.amax(dim=axis) > 0, margin) for axis in (2, 1)]
    size = [min(int((last - first).amax()), whole) for (first, last), whole in zip(spans, picture, strict=True)]
    corners = torch.stack([first.clamp(max=whole - side) for (first, _), whole, side in zip(spans, picture, size, strict=True)], dim=1)
    return Windows(picture, corners, (size[0], size[1]))


def _spans(filled: Tensor, margin: int) -> tuple[Tensor, Tensor]:
    """From where to where each row of `filled` (V, n) is, in multiples of `GRAIN`: the end may lie beyond n."""
    first, last = filled.byte().argmax(dim=1), filled.shape[1] - filled.flip(1).byte().argmax(dim=1)
    return (first - margin).clamp(min=0) // GRAIN * GRAIN, (last + margin + GRAIN - 1) // GRAIN * GRAIN
