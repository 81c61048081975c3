"""What of a mesh its cameras see, by casting rays (Embree, through embreex)."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from fedloom.data.cameras import Camera
from fedloom.humans.mesh import Mesh
from fedloom.humans.rays import RayScene

TOLERANCE = 0.003
"""How much nearer than a point, in metres, something may be hit that is taken for the surface at the point itself."""

SPOTS = np.array([[1, 1, 1], [8, 1, 1], [1, 8, 1], [1, 1, 8]]) / np.array([[3], [10], [10], [10]])
"""Where on a face is looked whether it is seen, (4, 3) barycentric: in its middle and near its corners."""


class Scene:
    """A mesh, and which of its points are seen from where. Raises MissingExtraError without embreex."""

    def __init__(self, mesh: Mesh) -> None:
        self._rays = RayScene([mesh])

    def clear(self, origins: np.ndarray, points: np.ndarray) -> np.ndarray:
        """bool (n,): whether nothing stands between `origins` (n, 3) and `points` (n, 3)."""
        lengths = np.linalg.norm(points - origins, axis=1)
        until = np.maximum(1 - TOLERANCE / np.maximum(lengths, TOLERANCE), 0)
        return ~self._rays.blocked(origins, points, until)

    def seen(self, camera: Camera, points: np.ndarray, normals: np.ndarray) -> np.ndarray:
        """bool (n,): whether `camera` sees `points` (n, 3) of a surface with `normals` (n, 3): they are in its picture, face it, and
        nothing stands before them."""
        pixels, depths = camera.seen(points)
        towards = camera.centre - points
        found = (depths > 0) & (np.einsum("nd,nd->n", normals, towards) > 0)
        found[found] = ((pixels[found] >= 0) & (pixels[found] < (camera.width, camera.height))).all(axis=1)
        found[found] = self.clear(np.broadcast_to(camera.centre, (int(found.sum()), 3)), points[found])
        return found


def visible_part(mesh: Mesh, cameras: Sequence[Camera]) -> Mesh:
    """The faces of `mesh` that one of `cameras` sees some of: of layers that lie over each other, the outermost."""
    scene = Scene(mesh)
    normals = mesh.face_normals
    found = np.zeros(len(mesh.faces), dtype=bool)
    for spot in SPOTS:
        points = np.einsum("c,fcd->fd", spot, mesh.vertices[mesh.faces])
        for camera in cameras:
            left = np.flatnonzero(~found)
            found[left] = scene.seen(camera, points[left], normals[left])
    return mesh.part(found)
