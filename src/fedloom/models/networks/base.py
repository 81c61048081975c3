"""What the networks that are built here share: the names of what they choose from, and how their weights begin."""

from __future__ import annotations

import math
from typing import ClassVar

import torch
from torch import nn

from fedloom.streams import torch_stream


class Network(nn.Module):
    """Its last layer is the linear `head`, a score per label. `network` is its name in a recipe, `labels` are those of the head."""

    network: str = ""
    labels: tuple[str, ...] = ()
    gain: ClassVar[float] = 1.0
    """What the weights of convolutions and linear layers are multiplied by when they are drawn."""


@torch.no_grad()
def draw_weights(net: Network, seed: int) -> None:
    """Draw every weight from the stream of its name; the head and all offsets are zero, and a norm begins as no change.

    Convolutions and linear layers: normal, variance gain^2 2 / fan out (He et al. 2015, arXiv:1502.01852). Embeddings of dimension d:
    uniform between -1/d and 1/d, as in fastText.
    """
    for name, weight in net.named_parameters():
        stream = torch_stream(seed, "network", name)
        if name.startswith("head."):
            weight.zero_()
        elif name == "embedding.weight":
            weight.uniform_(-1 / weight.shape[1], 1 / weight.shape[1], generator=stream)
        elif weight.dim() > 1:
            weight.normal_(0.0, net.gain * math.sqrt(2 / (weight.numel() // weight.shape[1])), generator=stream)
        elif "norm" not in name:
            weight.zero_()
