"""The network of the 2D parser: a small U-Net (Ronneberger et al. 2015, arXiv:1505.04597) on colours and mask."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.functional import interpolate, pixel_shuffle, silu

from fedloom.data.records import PARSING
from fedloom.streams import torch_stream

WIDTHS = (16, 32, 64, 96)
"""Channels at a half, a quarter, an eighth and a sixteenth of the size."""

STEP = 2 ** len(WIDTHS)
"""The sides of pictures are multiples of this."""

GROUPS = 8
"""Groups of channels, each normalised by itself."""


class Block(nn.Module):
    """Two 3 x 3 convolutions, each normalised; the first may halve the size."""

    def __init__(self, width_in: int, width: int, stride: int = 1) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(width_in, width, 3, stride=stride, padding=1)
        self.norm1 = nn.GroupNorm(GROUPS, width)
        self.conv2 = nn.Conv2d(width, width, 3, padding=1)
        self.norm2 = nn.GroupNorm(GROUPS, width)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = silu(self.norm2(self.conv2(silu(self.norm1(self.conv1(x))))))
        return out


class ParserNet(nn.Module):
    """Logits of `PARSING`, (n, 6, s, s), of colours and mask with values from 0 to 1, (n, 4, s, s); s is a multiple of `STEP`."""

    def __init__(self) -> None:
        super().__init__()
        channels = (4, *WIDTHS)
        self.down = nn.ModuleList(Block(channels[i], channels[i + 1], stride=2) for i in range(len(WIDTHS)))
        self.up = nn.ModuleList(Block(WIDTHS[i] + WIDTHS[i - 1], WIDTHS[i - 1]) for i in range(len(WIDTHS) - 1, 0, -1))
        self.head = nn.Conv2d(WIDTHS[0], 4 * len(PARSING), 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        found = []
        for block in self.down:
            x = block(x)
            found.append(x)
        for block, skipped in zip(self.up, reversed(found[:-1]), strict=True):
            x = block(torch.cat([interpolate(x, scale_factor=2.0, mode="nearest"), skipped], dim=1))
        return pixel_shuffle(self.head(x), 2)


def draw_parser_net(net: ParserNet, seed: int) -> None:
    """Draw the weights of the convolutions (He et al. 2015, arXiv:1502.01852), each from a stream of its own."""
    with torch.no_grad():
        for name, module in net.named_modules():
            if isinstance(module, nn.Conv2d):
                fan_in = module.weight[0].numel()
                stream = torch_stream(seed, "parser", name)
                module.weight.copy_(torch.randn(module.weight.shape, generator=stream) * (2 / fan_in) ** 0.5)
                nn.init.zeros_(module.bias)  # type: ignore[arg-type]
