"""A residual network for small pictures (He et al. 2016, arXiv:1512.03385, section 4.2), with GroupNorm or the paper's BatchNorm.

BatchNorm keeps running statistics beside its trained values (see `fedloom.models.statistics`). GroupNorm (Wu and He 2018,
arXiv:1803.08494) keeps nothing.
"""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor, nn
from torch.nn.functional import relu

from fedloom.models.networks.base import Network

WIDTHS = (16, 32, 64)
CHANNELS = 3
GROUP = 8
"""Channels that are normalised together."""

Norm = Callable[[int], nn.Module]
"""Width -> a layer that normalises so many channels."""


def group_norm(width: int) -> nn.Module:
    return nn.GroupNorm(width // GROUP, width)


class Block(nn.Module):
    """Two 3 x 3 convolutions beside a shortcut, which is a 1 x 1 convolution where shape or width changes."""

    def __init__(self, width_in: int, width: int, stride: int, norm: Norm) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(width_in, width, 3, stride, 1, bias=False)
        self.norm1 = norm(width)
        self.conv2 = nn.Conv2d(width, width, 3, 1, 1, bias=False)
        self.norm2 = norm(width)
        same = stride == 1 and width_in == width
        self.shortcut = nn.Identity() if same else nn.Conv2d(width_in, width, 1, stride, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        inner = self.norm2(self.conv2(relu(self.norm1(self.conv1(x)))))
        out: Tensor = relu(inner + self.shortcut(x))
        return out


class ResidualNet(Network):
    """Pictures (rows, channels, height, width) of any size, values in 0..1 -> scores (rows, labels).

    Values are brought to -1..1 first; a grey picture of one channel is taken as three equal ones. Each of the three stages has `depth`
    blocks, so that the network has 6 `depth` + 2 layers.
    """

    def __init__(self, labels: int, depth: int, norm: Norm = group_norm) -> None:
        super().__init__()
        self.stem = nn.Conv2d(CHANNELS, WIDTHS[0], 3, 1, 1, bias=False)
        self.norm = norm(WIDTHS[0])
        blocks, width_in = [], WIDTHS[0]
        for stage, width in enumerate(WIDTHS):
            for number in range(depth):
                blocks.append(Block(width_in, width, 2 if stage and not number else 1, norm))
                width_in = width
        self.blocks = nn.Sequential(*blocks)
        self.head = nn.Linear(WIDTHS[-1], labels)

    def forward(self, x: Tensor) -> Tensor:
        planes = (2 * x - 1).expand(-1, CHANNELS, -1, -1)
        features = self.blocks(relu(self.norm(self.stem(planes))))
        scores: Tensor = self.head(features.mean((2, 3)))
        return scores
