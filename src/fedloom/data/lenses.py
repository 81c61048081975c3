"""Lenses that bend straight lines: the model of Brown and Conrady as OpenCV writes it, and its inverse.

A point at x, y of the plane one unit in front of the camera is seen where a pinhole would see

    x' = x (1 + k1 r^2 + k2 r^4 + k3 r^6) / (1 + k4 r^2 + k5 r^4 + k6 r^6) + 2 p1 x y + p2 (r^2 + 2 x^2)
    y' = y (1 + k1 r^2 + k2 r^4 + k3 r^6) / (1 + k4 r^2 + k5 r^4 + k6 r^6) + p1 (r^2 + 2 y^2) + 2 p2 x y

with r^2 = x^2 + y^2 (Brown 1971, Close-range camera calibration; the section Camera Calibration of OpenCV's documentation).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import astuple, dataclass
from functools import lru_cache

import numpy as np

from fedloom.data.cameras import Camera

FARTHEST = 10.0
"""Radius, in units of the focal length, up to which it is looked for where a lens folds: about 84 degrees from the axis."""

STEPS = 50
"""Most steps of the inverse, which has no closed form."""

EXACT = 1e-10
"""The inverse ends when a step moves no point by more, in units of the focal length."""


@dataclass(frozen=True)
class Lens:
    """The coefficients, in OpenCV's order. All 0: a pinhole."""

    k1: float = 0.0
    k2: float = 0.0
    p1: float = 0.0
    p2: float = 0.0
    k3: float = 0.0
    k4: float = 0.0
    k5: float = 0.0
    k6: float = 0.0

    @property
    def is_pinhole(self) -> bool:
        return not any(astuple(self))

    def bent(self, points: np.ndarray) -> np.ndarray:
        """Where a pinhole would see what is at `points` (n, 2) of the plane one unit in front of the camera; not finite from where on the
        polynomial folds the picture, which says nothing of what is seen there."""
        x, y = points.T
        with np.errstate(all="ignore"):
            factor, moved_x, moved_y = self._parts(x, y)
            found = np.stack([x * factor + moved_x, y * factor + moved_y], axis=1)
        return np.where(np.hypot(x, y)[:, None] < _reach(self), found, np.nan)

    def straight(self, points: np.ndarray) -> np.ndarray:
        """The inverse of `bent`, by fixed-point iteration, which converges for lenses that do not fold the picture; else the points are
        not finite, or `bent` does not give them back."""
        found = points
        with np.errstate(all="ignore"):
            for _ in range(STEPS):
                factor, moved_x, moved_y = self._parts(*found.T)
                before, found = found, (points - np.stack([moved_x, moved_y], axis=1)) / factor[:, None]
                if np.abs(found - before).max(initial=0) < EXACT:
                    break
        return found

    def _parts(self, x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """The radial factor, and how far x and y are moved beside it."""
        r2 = x * x + y * y
        factor = (1 + r2 * (self.k1 + r2 * (self.k2 + r2 * self.k3))) / (1 + r2 * (self.k4 + r2 * (self.k5 + r2 * self.k6)))
        return factor, 2 * self.p1 * x * y + self.p2 * (r2 + 2 * x * x), self.p1 * (r2 + 2 * y * y) + 2 * self.p2 * x * y


@lru_cache
def _reach(lens: Lens) -> float:
    """The radius up to which what is farther from the axis is also seen farther from it."""
    radii = np.linspace(0, FARTHEST, 2001)
    with np.errstate(all="ignore"):
        seen = radii * lens._parts(radii, np.zeros_like(radii))[0]  # tangential parts are small, and no lens folds by them
    falling = np.flatnonzero(~(np.diff(seen) > 0))
    return float(radii[falling[0]]) if len(falling) else FARTHEST


PINHOLE = Lens()


def bent_pixels(camera: Camera, lens: Lens, pixels: np.ndarray) -> np.ndarray:
    """Where the picture of `camera` taken through `lens` shows what a pinhole would show at `pixels` (n, 2)."""
    return pixels if lens.is_pinhole else _on_plane(camera, pixels, lens.bent)


def straight_pixels(camera: Camera, lens: Lens, pixels: np.ndarray) -> np.ndarray:
    """The inverse of `bent_pixels`."""
    return pixels if lens.is_pinhole else _on_plane(camera, pixels, lens.straight)


def _on_plane(camera: Camera, pixels: np.ndarray, moved: Callable[[np.ndarray], np.ndarray]) -> np.ndarray:
    focal, centre = camera.K[:2, :2], camera.K[:2, 2]
    return moved((pixels - centre) @ np.linalg.inv(focal).T) @ focal.T + centre
