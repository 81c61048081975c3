"""The visual hull: how far a point of the world is from what all silhouettes leave of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from fedloom.data.cameras import Camera
from fedloom.data.capture_rows import signed_distance
from fedloom.errors import DataError
from fedloom.humans.extra import library

UNSEEN = 1.0
"""The distance of a point that no view has a say on, in metres: it is outside."""

FAR = 100.0
"""Silhouettes whose common volume reaches so far, in metres, are said to enclose none."""


@dataclass(frozen=True, eq=False)
class Silhouettes:
    """V silhouettes with their cameras. A distance in a picture is negative inside of the silhouette, and 0 on its edge.

    `distances` float32 (V, H, W) in pixels, of a window of each picture around its silhouette; `corners` (V, 2) the window's first pixel,
    `sizes` (V, 2) its width and height; `K` (V, 3, 3), `R` (V, 3, 3) and `t` (V, 3), float32; `focal` (V,) in pixels; `whole` bool (V,)
    whether the silhouette ends inside of the picture on all sides.

    A view in whose picture the silhouette is whole votes on every point: what is not in its picture is outside. A view whose silhouette
    is cut by the edge of the picture votes on what its picture shows only. `box` (2, 3) float64 is the box around the common volume.
    """

    distances: Tensor
    corners: Tensor
    sizes: Tensor
    K: Tensor
    R: Tensor
    t: Tensor
    focal: Tensor
    whole: Tensor
    box: np.ndarray

    def __call__(self, points: np.ndarray) -> np.ndarray:
        """`hull` of points float64 (n, 3), as float64 (n,)."""
        return self.hull(torch.from_numpy(np.ascontiguousarray(points, dtype=np.float32))).numpy().astype(np.float64)

    def hull(self, points: Tensor) -> Tensor:
        """The largest of the views' distances, (n,) in metres: negative inside of the visual hull. Differentiable in `points` (n, 3)."""
        found = self.by_view(points).amax(dim=0)
        return torch.where(found.isinf(), torch.full_like(found, UNSEEN), found)

    def by_view(self, points: Tensor) -> Tensor:
        """The distance of each point's pixel to each silhouette, times depth over focal length, (V, n) in metres; minus infinity where a
        view has no say. Off the optical axis by an angle a it is up to 1/cos(a)^2 times the distance in the world."""
        own = torch.einsum("vij,nj->vni", self.R, points) + self.t[:, None]
        depths = own[..., 2]
        front = depths > 1e-6
        safe = torch.where(front, depths, torch.ones_like(depths))
        pixels = torch.einsum("vij,vnj->vni", self.K[:, :2], own / safe[..., None])
        found, inside = self._looked_up(pixels)
        found = torch.where(front, found * depths / self.focal[:, None], own.square().sum(dim=-1).sqrt())
        return torch.where(self.whole[:, None] | (front & inside), found, torch.full_like(found, -torch.inf))

    def _looked_up(self, pixels: Tensor) -> tuple[Tensor, Tensor]:
        """Distances at `pixels` (V, n, 2), in pixels, and whether each lies in the window. Beyond it, what the distance is at least: the
        way to the sides of the silhouette, or the squares of the nearest pixel's distance and of the way to there, summed."""
        places = pixels - self.corners[:, None]
        held = torch.minimum(places.clamp(min=0.5), self.sizes[:, None] - 0.5)
        inside = ((places >= 0) & (places <= self.sizes[:, None])).all(dim=-1)
        height, width = self.distances.shape[1:]
        scaled = held / held.new_tensor([width, height]) * 2 - 1
        found = torch.nn.functional.grid_sample(self.distances[:, None], scaled[:, None], align_corners=False)[:, 0, 0]
        to_sides = (places - torch.minimum(places.clamp(min=1), self.sizes[:, None] - 1)).square().sum(dim=-1)
        beyond = torch.maximum(to_sides, found.square() + (places - held).square().sum(dim=-1))
        return torch.where(inside, found, torch.where(inside, torch.ones_like(found), beyond).sqrt()), inside


def silhouettes(cameras: Sequence[Camera], masks: Sequence[np.ndarray]) -> Silhouettes:
    """The silhouettes in `masks`, bool (height, width) each, as seen by `cameras`.

    Raises DataError for an empty mask, and for silhouettes that have no volume in common, or that do not enclose one.
    """
    windows = [_window(mask, number) for number, mask in enumerate(masks, start=1)]
    height, width = (max(window.mask.shape[axis] for window in windows) for axis in (0, 1))
    distances = np.zeros((len(windows), height, width), dtype=np.float32)
    for own, window in zip(distances, windows, strict=True):
        own[: window.mask.shape[0], : window.mask.shape[1]] = signed_distance(window.mask)
    return Silhouettes(
        torch.from_numpy(distances),
        _tensor([window.corner for window in windows]),
        _tensor([window.mask.shape[::-1] for window in windows]),
        _tensor([camera.K for camera in cameras]),
        _tensor([camera.R for camera in cameras]),
        _tensor([camera.t for camera in cameras]),
        _tensor([np.sqrt(camera.K[0, 0] * camera.K[1, 1]) for camera in cameras]),
        torch.tensor([not any(window.cut) for window in windows]),
        _common_box(cameras, windows),
    )


@dataclass(frozen=True, eq=False)
class _Window:
    """The part of a mask around its silhouette, with its first pixel (x, y); the silhouette's `sides` (left, top, right, bottom) in the
    picture, and at which of them the picture `cut` it: then the window is the whole picture, as all that it shows has to be known."""

    mask: np.ndarray
    corner: tuple[int, int]
    cut: tuple[bool, bool, bool, bool]
    sides: tuple[int, int, int, int]


def _window(mask: np.ndarray, number: int) -> _Window:
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    if not len(rows):
        raise DataError(f"the mask of view {number} is empty: leave the view out, or give it a mask that shows the person")
    height, width = mask.shape
    left, top, right, bottom = (int(one) for one in (columns[0], rows[0], columns[-1] + 1, rows[-1] + 1))
    cut = (left == 0, top == 0, right == width, bottom == height)
    if any(cut):
        return _Window(mask, (0, 0), cut, (left, top, right, bottom))
    around = mask[top - 1 : bottom + 1, left - 1 : right + 1]
    return _Window(around, (left - 1, top - 1), cut, (left, top, right, bottom))


def _common_box(cameras: Sequence[Camera], windows: Sequence[_Window]) -> np.ndarray:
    """The box around what is inside of the pyramids that the cameras span with the sides of the silhouettes, (2, 3)."""
    planes = np.concatenate([_pyramid(camera, window) for camera, window in zip(cameras, windows, strict=True)])
    planes = planes / np.linalg.norm(planes[:, :3], axis=1, keepdims=True)
    purpose = "the volume that silhouettes enclose"
    best = library("scipy.optimize", purpose).linprog(
        [0, 0, 0, -1],
        A_ub=np.concatenate([planes[:, :3], np.ones((len(planes), 1))], axis=1),
        b_ub=-planes[:, 3],
        bounds=[(None, None)] * 3 + [(0, FAR)],
    )
    if best.status != 0 or best.x[3] <= 0:
        raise DataError("the silhouettes have no volume in common: their cameras or masks do not belong together; check K, R and t")
    inner = best.x[:3]
    limits = np.concatenate([np.eye(3), -np.eye(3)])
    limits = np.concatenate([limits, (-limits @ inner - FAR)[:, None]], axis=1)
    corners = library("scipy.spatial", purpose).HalfspaceIntersection(np.concatenate([planes, limits]), inner).intersections
    box: np.ndarray = np.stack([corners.min(axis=0), corners.max(axis=0)])
    if np.abs(box - inner).max() > FAR * 0.99:
        raise DataError("the silhouettes enclose no volume: add a view from another side, one that shows the whole person")
    return box


def _pyramid(camera: Camera, window: _Window) -> np.ndarray:
    """Half-spaces a x + b <= 0 as rows (a, b): in front of the camera, and on the silhouette's side of each of its uncut sides."""
    left, top, right, bottom = window.sides
    rows = np.array([[1, 0, -left], [0, 1, -top], [-1, 0, right], [0, -1, bottom]], dtype=float) @ camera.K
    own = np.concatenate([-rows[~np.array(window.cut)], [[0.0, 0.0, -1.0]]])
    return np.concatenate([own @ camera.R, (own @ camera.t)[:, None]], axis=1)


def _tensor(values: Sequence[object]) -> Tensor:
    return torch.from_numpy(np.asarray(values, dtype=np.float32))
