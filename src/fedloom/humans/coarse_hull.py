"""A coarse visual hull: the places that every view's mask holds, how much of each mask they explain, and how tall they are."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from fedloom.data.cameras import Camera
from fedloom.data.lenses import Lens, bent_pixels

SIDE = 48
"""Places along an edge of the grid."""

ROOM = 1.5
"""Edge of the grid over the person's largest extent."""

CELLS = 12
"""Cells along the longer side of a mask's box, of which it is counted how many the hull explains: a few places of the grid each."""

FILLED = 0.25
"""Share of a cell that a mask fills, from which on the cell is to be explained."""


@dataclass(frozen=True, eq=False)
class Silhouette:
    """The person's mask, bool (height, width) with a pixel at least, in a view that was taken by `camera` through `lens`."""

    camera: Camera
    lens: Lens
    mask: np.ndarray

    @cached_property
    def box(self) -> tuple[int, int, int, int]:
        """left, top, right, bottom in pixels, the last two behind the mask."""
        rows, columns = (np.flatnonzero(self.mask.any(axis=axis)) for axis in (1, 0))
        return int(columns[0]), int(rows[0]), int(columns[-1]) + 1, int(rows[-1]) + 1

    @property
    def is_cut(self) -> bool:
        """Whether the mask reaches the edge of the picture, behind which the person may go on."""
        left, top, right, bottom = self.box
        return left == 0 or top == 0 or right == self.camera.width or bottom == self.camera.height

    @property
    def middle(self) -> np.ndarray:
        """The pixel in the middle of the mask's box, (2,)."""
        left, top, right, bottom = self.box
        return np.array([left + right, top + bottom]) / 2

    @property
    def extent(self) -> float:
        """The longer side of the mask's box, for a person one unit away."""
        left, top, right, bottom = self.box
        return max((right - left) / self.camera.K[0, 0], (bottom - top) / self.camera.K[1, 1])

    def pixels(self, points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """(n, 2) the column and the row at which points (n, 3) are seen, and (n,) whether that is in the picture."""
        seen, depths = self.camera.seen(points)
        with np.errstate(invalid="ignore", over="ignore"):
            places = np.floor(bent_pixels(self.camera, self.lens, seen))
            inside = (depths > 0) & (places >= 0).all(axis=1) & (places < (self.camera.width, self.camera.height)).all(axis=1)
        return np.where(inside[:, None], places, 0).astype(np.int64), inside

    def holds(self, points: np.ndarray) -> np.ndarray:
        """(n,) whether the mask does not rule the points out."""
        places, inside = self.pixels(points)
        return np.where(inside, self.mask[places[:, 1], places[:, 0]], self.is_cut)

    def explained(self, points: np.ndarray) -> float:
        """Share of the mask, in coarse cells, at which one of `points` is seen."""
        left, top, right, bottom = self.box
        cell = max(right - left, bottom - top) / CELLS
        shape = (int(np.ceil((bottom - top) / cell)), int(np.ceil((right - left) / cell)))
        filled = _counts(np.argwhere(self.mask)[:, ::-1], (left, top), cell, shape) >= FILLED * cell * cell
        places, inside = self.pixels(points)
        met = _counts(places[inside], (left, top), cell, shape) > 0
        return float((filled & met).sum() / max(filled.sum(), 1))


def _counts(places: np.ndarray, corner: tuple[int, int], cell: float, shape: tuple[int, int]) -> np.ndarray:
    """How many of `places` (n, 2), columns and rows, lie in each of the cells; those in none are left out."""
    columns, rows = np.floor((places - corner) / cell).astype(np.int64).T
    inside = (columns >= 0) & (columns < shape[1]) & (rows >= 0) & (rows < shape[0])
    return np.bincount(rows[inside] * shape[1] + columns[inside], minlength=shape[0] * shape[1]).reshape(shape)


def meeting_point(origins: np.ndarray, directions: np.ndarray) -> np.ndarray | None:
    """The point (3,) with the least sum of squared distances from lines through `origins` (n, 3) along unit `directions` (n, 3); None of
    lines that are nearly parallel."""
    across = np.eye(3) - directions[:, :, None] * directions[:, None, :]
    total = across.mean(axis=0)
    if np.linalg.eigvalsh(total)[0] < PARALLEL:
        return None
    return np.linalg.solve(total, (across @ origins[:, :, None]).mean(axis=0)[:, 0])


PARALLEL = 1e-3
"""Least eigenvalue of the equations of lines that meet: about the squared sine of the angles between them."""


def hull_grid(silhouettes: Sequence[Silhouette]) -> np.ndarray | None:
    """A cube of points (SIDE^3, 3) around where the middles of the masks meet; None where they meet nowhere in front of the cameras."""
    origins = np.stack([one.camera.centre for one in silhouettes])
    directions = np.concatenate([one.camera.rays(one.middle[None]) for one in silhouettes])
    middle = meeting_point(origins, directions)
    if middle is None:
        return None
    distances = ((middle - origins) * directions).sum(axis=1)
    edge = ROOM * float(np.median(distances * [one.extent for one in silhouettes]))
    return _cube(middle - edge / 2, middle + edge / 2) if edge > 0 else None


def height_of(silhouettes: Sequence[Silhouette], points: np.ndarray, up: np.ndarray) -> float | None:
    """How far the visual hull, of which `points` of a coarse grid are known, reaches along `up`; None where most masks reach the edges of
    their pictures."""
    if not len(points) or 2 * sum(one.is_cut for one in silhouettes) > len(silhouettes):
        return None
    low, high = points.min(axis=0), points.max(axis=0)
    step = max((high - low).max() / SIDE, 1e-9) * 2
    fine = _cube(low - step, high + step)
    for one in silhouettes:
        fine = fine[one.holds(fine)]
    along = (fine if len(fine) else points) @ up
    return float(along.max() - along.min())


def _cube(low: np.ndarray, high: np.ndarray) -> np.ndarray:
    axes = [np.linspace(low[axis], high[axis], SIDE) for axis in range(3)]
    return np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1).reshape(-1, 3)
