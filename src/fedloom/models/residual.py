"""A residual network for small pictures (He et al. 2016, arXiv:1512.03385, section 4.2), with GroupNorm in place of BatchNorm.

BatchNorm keeps running statistics beside its trained values, which would carry what one client's pictures are like into the next client's
model. GroupNorm (Wu and He 2018, arXiv:1803.08494) keeps nothing.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn.functional import relu

from fedloom.streams import torch_stream

NETWORKS = {"resnet8": 1, "resnet20": 3}
"""name -> blocks of each of the three stages; a network has 6 n + 2 layers."""

WIDTHS = (16, 32, 64)
CHANNELS = 3
GROUP = 8
"""Channels that are normalised together."""


class Block(nn.Module):
    """Two 3 x 3 convolutions beside a shortcut, which is a 1 x 1 convolution where shape or width changes."""

    def __init__(self, width_in: int, width: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(width_in, width, 3, stride, 1, bias=False)
        self.norm1 = nn.GroupNorm(width // GROUP, width)
        self.conv2 = nn.Conv2d(width, width, 3, 1, 1, bias=False)
        self.norm2 = nn.GroupNorm(width // GROUP, width)
        same = stride == 1 and width_in == width
        self.shortcut = nn.Identity() if same else nn.Conv2d(width_in, width, 1, stride, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        inner = self.norm2(self.conv2(relu(self.norm1(self.conv1(x)))))
        out: Tensor = relu(inner + self.shortcut(x))
        return out


class ResidualNet(nn.Module):
    """Pictures (rows, channels, height, width) of any size, values in 0..1 -> scores (rows, labels).

    Values are brought to -1..1 first; a grey picture of one channel is taken as three equal ones.
    """

    def __init__(self, network: str, labels: int) -> None:
        super().__init__()
        self.network = network
        self.labels: tuple[str, ...] = ()
        self.stem = nn.Conv2d(CHANNELS, WIDTHS[0], 3, 1, 1, bias=False)
        self.norm = nn.GroupNorm(WIDTHS[0] // GROUP, WIDTHS[0])
        blocks, width_in = [], WIDTHS[0]
        for stage, width in enumerate(WIDTHS):
            for number in range(NETWORKS[network]):
                blocks.append(Block(width_in, width, 2 if stage and not number else 1))
                width_in = width
        self.blocks = nn.Sequential(*blocks)
        self.head = nn.Linear(WIDTHS[-1], labels)

    def forward(self, x: Tensor) -> Tensor:
        planes = (2 * x - 1).expand(-1, CHANNELS, -1, -1)
        features = self.blocks(relu(self.norm(self.stem(planes))))
        scores: Tensor = self.head(features.mean((2, 3)))
        return scores


@torch.no_grad()
def draw_weights(net: ResidualNet, seed: int) -> None:
    """Draw every weight from the stream of its name (He et al. 2015, arXiv:1502.01852: normal, variance 2 / fan out); the head is zero."""
    for name, parameter in net.named_parameters():
        if parameter.dim() == 4:
            deviation = math.sqrt(2 / (parameter.shape[0] * parameter.shape[2] * parameter.shape[3]))
            parameter.normal_(0.0, deviation, generator=torch_stream(seed, "network", name))
        elif "norm" not in name:
            parameter.zero_()
