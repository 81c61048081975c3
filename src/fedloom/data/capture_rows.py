"""Captures as tensors: pictures cut out by their masks, parsing, and the distance of every pixel to the silhouette. Kept on disk under a
hash of their content."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import ClassVar

import numpy as np
import torch
from torch import Tensor

from fedloom.data.capture_pictures import colours_of, mask_of, parsing_of
from fedloom.data.kept_rows import keep_rows, kept_rows
from fedloom.data.picture_decoding import scaled, scaled_numbers
from fedloom.data.record_sequence import digests
from fedloom.data.records import Capture, View
from fedloom.errors import DataError, MissingExtraError

UNKNOWN = 255
"""The class of a pixel whose parsing is not known."""


@dataclass(frozen=True, repr=False)
class Views:
    """V photographs of one person, H x W pixels each, in float32 but for `parsing`.

    `pictures` (V, 3, H, W) from 0 to 1, black outside the person; `masks` (V, H, W) 0 or 1; `parsing` int64 (V, H, W), a number of
    `PARSING` or `UNKNOWN`; `silhouettes` (V, H, W) the distance to the mask's edge in pixels, negative inside; the cameras `K` (V, 3, 3)
    in pixels, `R` (V, 3, 3) and `t` (V, 3) in metres.
    """

    pictures: Tensor
    masks: Tensor
    parsing: Tensor
    silhouettes: Tensor
    K: Tensor
    R: Tensor
    t: Tensor

    def __len__(self) -> int:
        return len(self.pictures)

    @property
    def centres(self) -> Tensor:
        """Where the cameras stand, (V, 3)."""
        return -(self.R.transpose(1, 2) @ self.t[:, :, None])[:, :, 0]

    @property
    def size(self) -> tuple[int, int]:
        """(H, W)."""
        return self.pictures.shape[2], self.pictures.shape[3]

    def chosen(self, numbers: Sequence[int]) -> Views:
        """The views with these numbers, in this order."""
        picked = torch.as_tensor(numbers, dtype=torch.long)
        return Views(**{one.name: getattr(self, one.name)[picked] for one in fields(self)})

    def to(self, device: torch.device) -> Views:
        return Views(**{one.name: getattr(self, one.name).to(device) for one in fields(self)})


@dataclass(frozen=True, repr=False)
class CaptureRows:
    """n people; `starts` int64 (n + 1) says where the views of each begin in the tensors, those of `Views` as bytes and float16."""

    tensors: dict[str, Tensor]
    starts: Tensor
    truncated: ClassVar[int] = 0
    """Captures are never cut."""

    def __len__(self) -> int:
        return len(self.starts) - 1

    def views(self, number: int) -> Views:
        """The photographs of one person."""
        start, end = int(self.starts[number]), int(self.starts[number + 1])
        # What is mapped from disk lies anywhere in memory, and the last bit of a product may depend on where.
        # Copies lie where torch puts them.
        part = {name: tensor[start:end].clone() for name, tensor in self.tensors.items()}
        masks = part["masks"].float()
        pictures = part["pictures"].permute(0, 3, 1, 2).float() / 255 * masks[:, None]
        return Views(pictures, masks, part["parsing"].long(), part["silhouettes"].float(), part["K"], part["R"], part["t"])

    def __repr__(self) -> str:
        return f"CaptureRows({len(self)})"


def cached_captures(records: Sequence[Capture], size: int | None, views: int, folder: Path) -> Path:
    """The file in `folder` with the views of `records`, scaled to `size` x `size` pixels, made when it is not there yet.

    Raises DataError for a person with fewer than `views` views, for a view without a mask, and for pictures, masks and cameras whose sizes
    differ; MissingExtraError without scipy.
    """
    key = hashlib.sha256(json.dumps(["captures", list(digests(records)), size, views]).encode()).hexdigest()
    return keep_rows(folder, key, lambda: (_tensors(records, size, views), CaptureRows.truncated))


def load_captures(path: Path) -> CaptureRows:
    """Rows that `cached_captures` wrote, mapped from disk."""
    with kept_rows(path, "capture cache") as (file, _):
        tensors = {one.name: file.get_tensor(one.name) for one in fields(Views)}
        return CaptureRows(tensors, file.get_tensor("starts"))


def views_of(capture: Capture, size: int | None = None) -> Views:
    """The views of one capture. Raises as `cached_captures` does."""
    tensors = _tensors([capture], size, 1)
    return CaptureRows({name: value for name, value in tensors.items() if name != "starts"}, tensors["starts"]).views(0)


def signed_distance(mask: np.ndarray) -> np.ndarray:
    """The distance of every pixel centre to the edge of `mask` bool (H, W), in pixels: float32, negative inside.

    The edge lies between a pixel inside and its neighbour outside, half a pixel from both; a mask without an edge is as far
    from it as it is long.
    """
    try:
        from scipy.ndimage import distance_transform_edt
    except ImportError:
        raise MissingExtraError("scipy", "humans", "distances to silhouettes") from None
    if mask.all():
        return np.full(mask.shape, -float(max(mask.shape)), dtype=np.float32)
    return np.where(mask, 0.5 - distance_transform_edt(mask), distance_transform_edt(~mask) - 0.5).astype(np.float32)


def _tensors(records: Sequence[Capture], size: int | None, least: int) -> dict[str, Tensor]:
    starts, found = [0], list[dict[str, np.ndarray]]()
    for record in records:
        if len(record.views) < least:
            raise DataError(f"{_person(record)}: has {len(record.views)} views; {least} at least are needed, one of them to compare with")
        found += [_arrays(view, size) for view in record.views]
        starts.append(len(found))
    shapes = {one["pictures"].shape for one in found}
    if len(shapes) > 1:
        raise DataError(f"its pictures have different sizes, {_sizes(shapes)} (height x width); set data.picture_size")
    stacked = {name: torch.from_numpy(np.stack([one[name] for one in found])) for name in (found[0] if found else ())}
    return {**stacked, "starts": torch.tensor(starts)}


def _arrays(view: View, size: int | None) -> dict[str, np.ndarray]:
    picture, mask, parsing = colours_of(view), mask_of(view), parsing_of(view)
    if mask is None:
        raise DataError(f"{view.image}: has no mask of the person; make one with `fedloom humans capture import --masks auto`")
    if parsing is None:
        parsing = np.full(mask.shape, UNKNOWN, np.uint8)
    picture, mask = scaled(picture, size), scaled_numbers(mask, size)
    camera = view.camera if size is None else view.camera.square(size)
    return {
        "pictures": picture,
        "masks": mask.astype(np.uint8),
        "parsing": scaled_numbers(parsing, size),
        "silhouettes": signed_distance(mask).astype(np.float16),
        "K": camera.K.astype(np.float32),
        "R": camera.R.astype(np.float32),
        "t": camera.t.astype(np.float32),
    }


def _person(record: Capture) -> Path:
    return record.views[0].image.parent


def _sizes(shapes: set[tuple[int, ...]]) -> str:
    return " and ".join(sorted("x".join(map(str, shape[:2])) for shape in shapes))
