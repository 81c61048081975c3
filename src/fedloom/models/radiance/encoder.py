"""The encoder: what is seen around each pixel of a photograph."""

from __future__ import annotations

from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn.functional import interpolate, relu

STEM = 4
"""Channels that go in: red, green, blue and the mask."""


class Encoder(nn.Module):
    """A U-Net shared by all views: pictures (V, 4, H, W) -> features (V, width, H / 2, W / 2).

    Its stem halves the picture; each of `levels` further steps halves it again with one and a half times the channels, and on the way up
    what was there at that size is added.
    """

    def __init__(self, width: int, levels: int) -> None:
        super().__init__()
        widths = [int(width * 1.5**level) for level in range(levels + 1)]
        self.stem = nn.Conv2d(STEM, width, 5, 2, 2)
        self.first = nn.Conv2d(width, width, 3, 1, 1)
        self.down = nn.ModuleList(nn.Conv2d(a, b, 3, 2, 1) for a, b in pairwise(widths))
        self.deep = nn.ModuleList(nn.Conv2d(b, b, 3, 1, 1) for b in widths[1:])
        self.up = nn.ModuleList(nn.Conv2d(b, a, 1) for a, b in pairwise(widths))
        self.last = nn.Conv2d(width, width, 3, 1, 1)

    def forward(self, pictures: Tensor) -> Tensor:
        x = relu(self.stem(pictures.contiguous(memory_format=torch.channels_last)))  # convolutions take two thirds of the time so
        x = x + relu(self.first(x))
        kept = [x]
        for down, deep in zip(self.down, self.deep, strict=True):
            x = relu(down(x))
            x = x + relu(deep(x))
            kept.append(x)
        for up, before in zip(reversed(self.up), reversed(kept[:-1]), strict=True):
            x = before + interpolate(up(x), size=before.shape[2:], mode="bilinear", align_corners=False)
        found: Tensor = self.last(x)
        return found


def encoder_input(pictures: Tensor, masks: Tensor) -> Tensor:
    """What the encoder takes, (V, 4, H, W): colours from -1 to 1 inside the mask and 0 outside, and the mask."""
    return torch.cat([(2 * pictures - 1) * masks[:, None], masks[:, None]], dim=1)
