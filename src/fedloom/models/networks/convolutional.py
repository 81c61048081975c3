"""A small convolutional network for small pictures: three convolutions, 34,000 values with ten labels."""

from __future__ import annotations

from itertools import pairwise

from torch import Tensor, nn
from torch.nn.functional import adaptive_avg_pool2d, max_pool2d, relu

from fedloom.models.networks.base import Network
from fedloom.models.networks.residual import CHANNELS, WIDTHS, group_norm

SIDE = 4
"""Height and width of what the head sees."""


class SmallCNN(Network):
    """Pictures (rows, channels, height, width) of any size, values in 0..1 -> scores (rows, labels).

    3 x 3 convolutions of 16, 32 and 64 channels, each with GroupNorm and ReLU; the first two halve height and width, and after the third
    each channel is averaged to 4 x 4, whatever the size of the picture. A grey picture is taken as three equal channels.
    """

    def __init__(self, labels: int) -> None:
        super().__init__()
        widths = pairwise((CHANNELS, *WIDTHS))
        self.convolutions = nn.ModuleList(nn.Conv2d(width_in, width, 3, 1, 1, bias=False) for width_in, width in widths)
        self.norms = nn.ModuleList(group_norm(width) for width in WIDTHS)
        self.head = nn.Linear(WIDTHS[-1] * SIDE * SIDE, labels)

    def forward(self, x: Tensor) -> Tensor:
        x = (2 * x - 1).expand(-1, CHANNELS, -1, -1)
        for number, (convolution, norm) in enumerate(zip(self.convolutions, self.norms, strict=True)):
            x = relu(norm(convolution(x)))
            if number < 2:
                x = max_pool2d(x, 2, ceil_mode=True)
        scores: Tensor = self.head(adaptive_avg_pool2d(x, SIDE).flatten(1))
        return scores
