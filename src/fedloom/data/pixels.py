"""Pictures as tensors of one size, with the number of each one's class. Kept on disk under a hash of their content."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import numpy as np
import torch
from torch import Tensor

from fedloom.data.kept_rows import keep_rows, kept_rows
from fedloom.data.records import Picture
from fedloom.errors import DataError

COLOURS = 3


@dataclass(frozen=True, repr=False)
class PictureRows:
    """n pictures: `pixels` uint8 (n, height, width, channels), `right` int64 (n,) the number of each picture's class."""

    pixels: Tensor
    right: Tensor
    truncated: ClassVar[int] = 0
    """Pictures are never cut."""

    def __len__(self) -> int:
        return len(self.right)

    def batch(self, indices: Sequence[int]) -> Tensor:
        """The pictures at `indices` as float32 (rows, channels, height, width), from 0 to 1."""
        return self.pixels[torch.as_tensor(indices, dtype=torch.long)].permute(0, 3, 1, 2).float() / 255

    def __repr__(self) -> str:
        return f"PictureRows({len(self)})"


def cached_pictures(records: Sequence[Picture], right: Sequence[int], folder: Path) -> Path:
    """The file in `folder` with the pixels of `records` and the numbers `right` of their classes, made when it is not there yet.

    Where some are grey and some have colours, all get three channels. Raises DataError for pictures of different sizes.
    """
    pixels = stacked(records)
    content = ["pictures", list(pixels.shape), hashlib.sha256(pixels.tobytes()).hexdigest(), list(right)]
    key = hashlib.sha256(json.dumps(content).encode()).hexdigest()
    return keep_rows(
        folder, key, lambda: ({"pixels": torch.from_numpy(pixels), "right": torch.tensor(right, dtype=torch.long)}, PictureRows.truncated)
    )


def load_pictures(path: Path) -> PictureRows:
    """Rows that `cached_pictures` wrote, mapped from disk."""
    with kept_rows(path, "picture cache") as (file, _):
        return PictureRows(file.get_tensor("pixels"), file.get_tensor("right"))


def stacked(records: Sequence[Picture]) -> np.ndarray:
    """uint8 (n, height, width, channels). A grey picture among coloured ones is three equal channels."""
    found: np.ndarray | None = None
    for number, record in enumerate(records):
        if found is None:
            found = np.zeros((len(records), *record.pixels.shape), dtype=np.uint8)
        if found.shape[3] == 1 and record.pixels.shape[2] == COLOURS:
            found = found.repeat(COLOURS, axis=3)
        if record.pixels.shape[:2] != found.shape[1:3] or record.pixels.shape[2] not in (1, found.shape[3]):
            sizes = " and ".join("x".join(map(str, shape)) for shape in (found.shape[1:], record.pixels.shape))
            raise DataError(f"its pictures have different sizes, {sizes} (height x width x channels); scale them to one size")
        found[number] = record.pixels
    return np.zeros((0, 0, 0, 0), dtype=np.uint8) if found is None else found
