"""The square around a person, cut out of a photograph whose lens is straightened.

A picture is sampled once: every pixel of the copy is followed through the crop and the lens to where the photograph shows it. Where the
copy is smaller, several points of a pixel are sampled and averaged.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from fedloom.data.cameras import Camera
from fedloom.data.capture_layouts import Photograph
from fedloom.data.lenses import Lens, bent_pixels, straight_pixels
from fedloom.errors import DataError
from fedloom.humans.coarse_hull import Silhouette

MARGIN = 0.08
"""Of the longer side of the person's box, left on either side of it."""

MOST = 8
"""Most points along a side of a pixel that are averaged."""

AT_ONCE = 1 << 20
"""Points that are sampled at once."""

FOLDED = 0.5
"""How far, in pixels, the lens may miss a pixel of the mask when it is followed there and back."""


@dataclass(frozen=True, eq=False)
class Crop:
    """The square of a straightened photograph that is kept: `left`, `top` and `side` in its pixels, `size` of the copy."""

    left: float
    top: float
    side: float
    size: int

    @property
    def matrix(self) -> np.ndarray:
        """(3, 3): from pixels of the photograph to those of the copy."""
        factor = self.size / self.side
        return np.array([[factor, 0, -factor * self.left], [0, factor, -factor * self.top], [0, 0, 1]])

    def camera(self, camera: Camera) -> Camera:
        """The camera of the copy."""
        return replace(camera, K=self.matrix @ camera.K, width=self.size, height=self.size)


def crop_of(photograph: Photograph, mask: np.ndarray | None, size: int) -> Crop:
    """The square around the person, or around the whole picture where there is no mask."""
    camera, lens = photograph.view.camera, photograph.lens
    corners = np.array([[0, 0], [camera.width, camera.height]], dtype=np.float64)
    margin = 0.0
    if mask is not None:
        corners, margin = _straight_outline(Silhouette(camera, lens, mask), str(photograph.view.image)), MARGIN
    low, high = corners.min(axis=0), corners.max(axis=0)
    side = float((high - low).max()) * (1 + 2 * margin)
    left, top = ((low + high) - side) / 2
    return Crop(float(left), float(top), side, size)


def _straight_outline(silhouette: Silhouette, where: str) -> np.ndarray:
    """Where a pinhole would see the ends of the mask's rows and columns, (n, 2). Raises DataError for a lens that has no inverse there."""
    pixels = _ends(silhouette.mask) + 0.5
    straight = straight_pixels(silhouette.camera, silhouette.lens, pixels)
    missed = np.abs(bent_pixels(silhouette.camera, silhouette.lens, straight) - pixels).max()
    if not missed < FOLDED:
        raise DataError(f"{where}: the coefficients of its lens fold the picture where the person is; calibrate the camera again")
    return straight


def _ends(mask: np.ndarray) -> np.ndarray:
    """Columns and rows of the first and the last pixel in each row and in each column of a mask, (n, 2)."""
    found = []
    for axis, lines in ((1, mask), (0, mask.T)):
        used = np.flatnonzero(lines.any(axis=1))
        for ends in (lines[used].argmax(axis=1), lines.shape[1] - 1 - lines[used, ::-1].argmax(axis=1)):
            found.append(np.stack([ends, used] if axis else [used, ends], axis=1))
    return np.concatenate(found)


def resampled(pixels: np.ndarray, camera: Camera, lens: Lens, crop: Crop) -> np.ndarray:
    """float64 (size, size) or (size, size, channels): the square `crop` of a photograph, (height, width) or (height, width, channels), as
    a pinhole would have seen it. What lies outside of the photograph is 0."""
    points = min(MOST, max(1, int(np.ceil(crop.side / crop.size))))
    step = max(1, AT_ONCE // (crop.size * points**2))
    channels = [pixels] if pixels.ndim == 2 else list(np.moveaxis(pixels, 2, 0))
    strips = []
    for first in range(0, crop.size, step):
        places = _places(camera, lens, crop, points, np.arange(first, min(first + step, crop.size)))
        strips.append(np.stack([_averaged(channel, places, crop.size, points) for channel in channels], axis=-1))
    found = np.concatenate(strips)
    return found[:, :, 0] if pixels.ndim == 2 else found


def _places(camera: Camera, lens: Lens, crop: Crop, points: int, rows: np.ndarray) -> np.ndarray:
    """Where the photograph shows the `points` x `points` points of every pixel in `rows` of the copy, (n, 2)."""
    factor, within = crop.side / crop.size, (np.arange(points) + 0.5) / points
    x, y = ((lines[:, None] + within).ravel() * factor for lines in (np.arange(crop.size), rows))
    grid = np.stack(np.meshgrid(x + crop.left, y + crop.top), axis=-1).reshape(-1, 2)
    return bent_pixels(camera, lens, grid)


def _averaged(channel: np.ndarray, places: np.ndarray, size: int, points: int) -> np.ndarray:
    """The values of `channel` (height, width) at `places`, as means over the points of a pixel: (rows, size)."""
    from scipy.ndimage import map_coordinates

    height, width = channel.shape
    inside = np.all((places >= 0) & (places <= (width, height)), axis=1)
    at = np.where(inside[:, None], places - 0.5, 0)[:, ::-1].T
    sampled = map_coordinates(channel, at, output=np.float64, order=1, mode="nearest")
    found: np.ndarray = np.where(inside, sampled, 0.0).reshape(-1, points, size, points).mean(axis=(1, 3))
    return found
