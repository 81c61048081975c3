"""Pinhole cameras: where a point of the world is seen, and which ray a pixel looks along.

A point x of the world, in metres, lies at R x + t in a camera's own axes: x to the right, y down, z forward (OpenCV, COLMAP). Pixels are
continuous: the first pixel of a row covers 0 to 1, and its centre is .5.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from fedloom.errors import DataError

ORTHONORMAL = 1e-3
"""How far R R^T may be from the identity, in its largest entry: matrices that were written with four decimals are still taken."""


@dataclass(frozen=True, eq=False)
class Camera:
    """`K` (3, 3) in pixels, `R` (3, 3), `t` (3,) in metres, all float64; `width` and `height` of its picture in pixels."""

    K: np.ndarray = field(repr=False)
    R: np.ndarray = field(repr=False)
    t: np.ndarray = field(repr=False)
    width: int
    height: int

    @property
    def centre(self) -> np.ndarray:
        """Where the camera stands in the world, (3,)."""
        return -self.R.T @ self.t

    @property
    def forward(self) -> np.ndarray:
        """The direction in the world that it looks in, a unit vector (3,)."""
        return self.R[2]

    def seen(self, points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Pixels (n, 2) at which `points` (n, 3) of the world are seen, and their depths (n,) along the camera's z axis, in metres.

        A point at a depth of 0 or less is behind the camera, and its pixel means nothing.
        """
        own = points @ self.R.T + self.t
        with np.errstate(divide="ignore", invalid="ignore"):
            pixels = (own @ self.K.T)[:, :2] / own[:, 2:]
        return pixels, own[:, 2]

    def rays(self, pixels: np.ndarray) -> np.ndarray:
        """Unit vectors (n, 3) of the world that lead from `centre` through `pixels` (n, 2)."""
        own = np.concatenate([pixels, np.ones((len(pixels), 1))], axis=1) @ np.linalg.inv(self.K).T
        found: np.ndarray = own @ self.R
        return found / np.linalg.norm(found, axis=1, keepdims=True)

    def pixel_centres(self) -> np.ndarray:
        """(height * width, 2), row by row."""
        x, y = np.meshgrid(np.arange(self.width) + 0.5, np.arange(self.height) + 0.5)
        return np.stack([x.ravel(), y.ravel()], axis=1)

    def cropped(self, left: float, top: float, width: int, height: int) -> Camera:
        """The camera of the part of its picture that begins `left` pixels from the left and `top` from above."""
        return replace(self, K=self.K - np.array([[0, 0, left], [0, 0, top], [0, 0, 0]]), width=width, height=height)

    def square(self, size: int) -> Camera:
        """The camera of the middle square of its picture, scaled to `size` x `size`."""
        side = min(self.width, self.height)
        return self.cropped((self.width - side) / 2, (self.height - side) / 2, side, side).scaled(size, size)

    def scaled(self, width: int, height: int) -> Camera:
        """The camera of the same picture, scaled to `width` x `height`."""
        factors = np.array([[width / self.width], [height / self.height], [1.0]])
        return replace(self, K=self.K * factors, width=width, height=height)

    def plain(self) -> dict[str, Any]:
        """The camera as cameras.json has it."""
        return {"K": self.K.tolist(), "R": self.R.tolist(), "t": self.t.tolist(), "width": self.width, "height": self.height}


def looking_at(eye: np.ndarray, target: np.ndarray, focal: float, width: int, height: int) -> Camera:
    """A camera at `eye` (3,) with `target` (3,) in the middle of its picture and the world's z axis upwards; `focal` in pixels."""
    forward = (target - eye) / np.linalg.norm(target - eye)
    right = np.cross(forward, [0.0, 0.0, 1.0])
    right /= np.linalg.norm(right)
    R = np.stack([right, np.cross(forward, right), forward])
    K = np.array([[focal, 0.0, width / 2], [0.0, focal, height / 2], [0.0, 0.0, 1.0]])
    return Camera(K, R, -R @ eye, width, height)


def camera_of(plain: Mapping[str, Any], where: str) -> Camera:
    """The camera that `Camera.plain` wrote. Raises DataError, which begins with `where`, for a key that is missing or cannot be."""
    K, R, t = (_matrix(plain, key, shape, where) for key, shape in (("K", (3, 3)), ("R", (3, 3)), ("t", (3,))))
    width, height = (_size(plain, key, where) for key in ("width", "height"))
    if K[0, 0] <= 0 or K[1, 1] <= 0 or not np.allclose(K[[1, 2, 2, 2], [0, 0, 1, 2]], (0, 0, 0, 1)):
        raise DataError(f"{where}: K should be [[fx, s, cx], [0, fy, cy], [0, 0, 1]] with focal lengths above 0, in pixels")
    if np.abs(R @ R.T - np.eye(3)).max() > ORTHONORMAL:
        raise DataError(f"{where}: R is no rotation (its rows should be unit vectors at right angles)")
    if np.linalg.det(R) < 0:
        raise DataError(
            f"{where}: R mirrors the world (its determinant is -1); one of its axes points the wrong way: x right, y down, z forward"
        )
    return Camera(K, R, t, width, height)


def _matrix(plain: Mapping[str, Any], key: str, shape: tuple[int, ...], where: str) -> np.ndarray:
    try:
        found = np.asarray(plain[key], dtype=np.float64)
    except KeyError:
        raise DataError(f"{where}: has no {key}") from None
    except (TypeError, ValueError):
        found = np.full((), np.nan)
    if found.shape != shape or not np.isfinite(found).all():
        raise DataError(f"{where}: {key} should be {' x '.join(map(str, shape))} finite numbers")
    return found


def _size(plain: Mapping[str, Any], key: str, where: str) -> int:
    found = plain.get(key)
    if not isinstance(found, int) or isinstance(found, bool) or found < 1:
        raise DataError(f"{where}: {key} should be the picture's {key} in pixels")
    return found
