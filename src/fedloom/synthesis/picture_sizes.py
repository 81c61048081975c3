"""Pictures in the size and the colours that a generator draws, or that a client's pictures have."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import interpolate

from fedloom.data.records import Picture

GREY = (0.299, 0.587, 0.114)
"""What red, green and blue count for in a grey picture (ITU-R BT.601)."""


def fitted(pictures: Tensor, size: tuple[int, int, int]) -> Tensor:
    """`pictures` (rows, 1 or 3 channels, height, width) in `size` (height, width, 1 or 3 channels).

    They are scaled, smoothed where they become smaller, until both sides are covered, and what stands over on two sides is cut. Grey ones
    get three equal channels, coloured ones become grey.
    """
    height, width, channels = size
    factor = max(height / pictures.shape[2], width / pictures.shape[3])
    covering = [max(side, round(factor * own)) for side, own in zip((height, width), pictures.shape[2:], strict=True)]
    if covering != list(pictures.shape[2:]):
        pictures = interpolate(pictures, covering, mode="bilinear", antialias=True)
    top, left = (covering[0] - height) // 2, (covering[1] - width) // 2
    pictures = pictures[:, :, top : top + height, left : left + width]
    if channels == 3:
        return pictures.expand(-1, 3, -1, -1)
    return (
        pictures if pictures.shape[1] == 1 else (pictures * torch.tensor(GREY, device=pictures.device)[:, None, None]).sum(1, keepdim=True)
    )


def as_tensors(pictures: Sequence[Picture], size: tuple[int, int, int]) -> Tensor:
    """float32 (rows, channels, height, width), values from 0 to 1, fitted into `size` (height, width, channels) one by one."""
    return torch.cat([fitted(torch.tensor(one.pixels).permute(2, 0, 1)[None].float() / 255, size) for one in pictures])


def as_arrays(pictures: Tensor) -> list[np.ndarray]:
    """`pictures` (rows, channels, height, width) as float32 arrays (height, width, channels)."""
    return list(pictures.permute(0, 2, 3, 1).float().cpu().contiguous().numpy())
