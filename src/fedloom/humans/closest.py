"""Which points of a mesh lie closest to given points, and on which side of it they lie."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from fedloom.errors import MissingExtraError
from fedloom.humans.mesh import Mesh, unit

CANDIDATES = 12
"""So many triangles, those with the nearest centres, are tried for the closest point."""

NORMAL_WEIGHT = 0.05
"""Metres that a difference of 1 between two normals counts for, where normals are compared."""


@dataclass(frozen=True, eq=False)
class Closest:
    """For n points: the closest `points` (n, 3) of the mesh, the triangles that they lie on, `faces` (n,), the unit `normals` (n, 3) of the
    mesh there, and the `distances` (n,) in metres, below 0 for a point inside."""

    points: np.ndarray = field(repr=False)
    faces: np.ndarray = field(repr=False)
    normals: np.ndarray = field(repr=False)
    distances: np.ndarray = field(repr=False)


def closest_on(mesh: Mesh, points: np.ndarray, normals: np.ndarray | None = None) -> Closest:
    """Where `mesh` comes closest to each of `points` (n, 3). The side is that of the normals of the vertices, blended over the triangle.

    With the points' own unit `normals` (n, 3), triangles are preferred that look the same way: a turn of 90 degrees counts for 7 cm.
    """
    try:
        from trimesh.triangles import closest_point, points_to_barycentric
    except ImportError:
        raise MissingExtraError("trimesh", "humans", "dressing people") from None

    triangles, outwards = mesh.vertices[mesh.faces], NORMAL_WEIGHT * unit(mesh.face_normals)
    own = np.zeros((len(points), 3)) if normals is None else NORMAL_WEIGHT * normals
    outwards = outwards * (normals is not None)
    count = min(CANDIDATES, len(triangles))
    tried = (
        tree_of(np.concatenate([triangles.mean(axis=1), outwards], axis=1))
        .query(np.concatenate([points, own], axis=1), k=count)[1]
        .reshape(-1, count)
    )
    found = closest_point(triangles[tried.ravel()], np.repeat(points, count, axis=0)).reshape(-1, count, 3)
    turned = ((outwards[tried] - own[:, None]) ** 2).sum(axis=2)
    best = (((found - points[:, None]) ** 2).sum(axis=2) + turned).argmin(axis=1)
    rows = np.arange(len(points))
    faces, closest = tried[rows, best], found[rows, best]
    corners = np.clip(points_to_barycentric(triangles[faces], closest, method="cross"), 0.0, 1.0)
    blended = unit((corners[:, :, None] * mesh.normals[mesh.faces[faces]]).sum(axis=1))
    away = points - closest
    return Closest(closest, faces, blended, np.copysign(np.linalg.norm(away, axis=1), (away * blended).sum(axis=1)))


def tree_of(points: np.ndarray) -> Any:
    """A k-d tree over `points` (n, d)."""
    try:
        from scipy.spatial import cKDTree
    except ImportError:
        raise MissingExtraError("scipy", "humans", "dressing people") from None
    return cKDTree(points)
