"""A small network that takes noise out of pictures of a class: a UNet on pixels (Ho et al. 2020, arXiv:2006.11239), without attention.

Pictures are folded first: each square of pixels becomes the channels of one place, so that the network works on 16 x 16 places at most.
The level of the noise and the class scale and shift what every block has normalised (Dhariwal and Nichol 2021, arXiv:2105.05233).
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn.functional import interpolate, pad, pixel_shuffle, pixel_unshuffle, silu

from fedloom.streams import torch_stream

WIDTHS = (32, 64)
EMBEDDED = 128
"""Length of what stands for a level and a class."""

FREQUENCIES = 32
"""Sines of the level, and as many cosines."""

GROUPS = 8
"""Groups of channels, each normalised by itself."""

PLACES = 16
"""Most places along a side of a folded picture."""


class Block(nn.Module):
    """Two 3 x 3 convolutions beside a shortcut, which is a 1 x 1 convolution where the width changes."""

    def __init__(self, width_in: int, width: int) -> None:
        super().__init__()
        self.norm1 = nn.GroupNorm(GROUPS, width_in)
        self.conv1 = nn.Conv2d(width_in, width, 3, padding=1)
        self.scale_shift = nn.Linear(EMBEDDED, 2 * width)
        self.norm2 = nn.GroupNorm(GROUPS, width)
        self.conv2 = nn.Conv2d(width, width, 3, padding=1)
        self.shortcut = nn.Identity() if width_in == width else nn.Conv2d(width_in, width, 1)

    def forward(self, x: Tensor, embedded: Tensor) -> Tensor:
        inner = self.conv1(silu(self.norm1(x)))
        scale, shift = self.scale_shift(embedded)[:, :, None, None].chunk(2, dim=1)
        inner = self.conv2(silu(self.norm2(inner) * (1 + scale) + shift))
        out: Tensor = inner + self.shortcut(x)
        return out


class Denoiser(nn.Module):
    """Predicts the velocity in noised folded pictures.

    It is for pictures of `size` (height, width, channels) of the classes `labels`; the number behind the last class stands for any class.
    """

    def __init__(self, size: tuple[int, int, int], labels: Sequence[str]) -> None:
        super().__init__()
        self.size, self.labels = size, tuple(labels)
        self.square = square_of(size)
        outer, inner = WIDTHS
        planes = size[2] * self.square**2
        self.level = nn.Sequential(nn.Linear(2 * FREQUENCIES, EMBEDDED), nn.SiLU(), nn.Linear(EMBEDDED, EMBEDDED))
        self.classes = nn.Embedding(len(labels) + 1, EMBEDDED)
        self.stem = nn.Conv2d(planes, outer, 3, padding=1)
        self.down1 = Block(outer, outer)
        self.smaller = nn.Conv2d(outer, outer, 3, stride=2, padding=1)
        self.down2 = Block(outer, inner)
        self.middle = Block(inner, inner)
        self.up2 = Block(2 * inner, inner)
        self.larger = nn.Conv2d(inner, inner, 3, padding=1)
        self.up1 = Block(inner + outer, outer)
        self.norm = nn.GroupNorm(GROUPS, outer)
        self.head = nn.Conv2d(outer, planes, 3, padding=1)

    @property
    def any_class(self) -> int:
        """The number that stands for any class."""
        return len(self.labels)

    @property
    def folded_shape(self) -> tuple[int, int, int]:
        """(channels, height, width) of a folded picture."""
        height, width, channels = self.size
        return channels * self.square**2, _padded(height, self.square) // self.square, _padded(width, self.square) // self.square

    def fold(self, pixels: Tensor) -> Tensor:
        """Pictures (rows, channels, height, width), values from 0 to 1 -> (rows, *folded_shape), values from -1 to 1. Where a side does
        not come out even, the edge is repeated."""
        height, width = pixels.shape[2:]
        margins = (0, _padded(width, self.square) - width, 0, _padded(height, self.square) - height)
        return pixel_unshuffle(pad(2 * pixels - 1, margins, mode="replicate"), self.square)

    def unfold(self, folded: Tensor) -> Tensor:
        """What `fold` undoes; values beyond 0 and 1 are cut."""
        height, width, _ = self.size
        return ((pixel_shuffle(folded, self.square)[:, :, :height, :width] + 1) / 2).clamp(0, 1)

    def forward(self, noised: Tensor, levels: Tensor, classes: Tensor) -> Tensor:
        """The velocity (rows, *folded_shape) in pictures `noised` to `levels` (rows,) from 0 to 1, of `classes` (rows,)."""
        embedded = silu(self.level(_waves(levels)) + self.classes(classes))
        first = self.down1(self.stem(noised), embedded)
        second = self.down2(self.smaller(first), embedded)
        inner = self.up2(torch.cat([self.middle(second, embedded), second], dim=1), embedded)
        wide = self.larger(interpolate(inner, scale_factor=2.0))
        outer = self.up1(torch.cat([wide, first], dim=1), embedded)
        velocity: Tensor = self.head(silu(self.norm(outer)))
        return velocity


def empty_denoiser(size: tuple[int, int, int], labels: Sequence[str]) -> Denoiser:
    """A network whose weights are still to be set. PyTorch draws some when it makes a layer: not from the global generator."""
    with torch.random.fork_rng(devices=[]):
        return Denoiser(size, labels)


@torch.no_grad()
def draw_denoiser(net: Denoiser, seed: int) -> None:
    """Draw every weight from the stream of its name: uniform, variance 1 / (3 fan in); of classes, normal. The head begins at zero."""
    for name, parameter in net.named_parameters():
        stream = torch_stream(seed, "denoiser", name)
        if name.startswith("classes"):
            parameter.normal_(0.0, 1.0, generator=stream)
        elif parameter.dim() > 1 and not name.startswith("head"):
            bound = 1 / math.sqrt(parameter[0].numel())
            parameter.uniform_(-bound, bound, generator=stream)
        elif "norm" not in name:
            parameter.zero_()


def square_of(size: tuple[int, int, int]) -> int:
    """The side of the squares that become channels: the smallest power of 2 that leaves `PLACES` along the longer side."""
    square = 1
    while max(size[:2]) > PLACES * square:
        square *= 2
    return square


def _padded(side: int, square: int) -> int:
    """`side` or the next larger one of an even number of squares: the network halves the places once."""
    return -(-side // (2 * square)) * 2 * square


def _waves(levels: Tensor) -> Tensor:
    """Sines and cosines of `levels` (rows,), of 1 to 1000 radians -> (rows, 2 FREQUENCIES)."""
    frequencies = torch.exp(torch.linspace(0, math.log(1000), FREQUENCIES, device=levels.device))
    angles = levels[:, None] * frequencies
    return torch.cat([angles.sin(), angles.cos()], dim=1)
