"""What of a mesh its cameras see, by casting rays (Embree, through embreex)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from fedloom.data.cameras import Camera
from fedloom.humans.extra import library
from fedloom.humans.mesh import Mesh

TOLERANCE = 0.003
"""How much nearer than a point, in metres, something may be hit that is taken for the surface at the point itself."""

SPOTS = np.array([[1, 1, 1], [8, 1, 1], [1, 8, 1], [1, 1, 8]]) / np.array([[3], [10], [10], [10]])
"""Where on a face is looked whether it is seen, (4, 3) barycentric: in its middle and near its corners."""


class Scene:
    """A mesh that rays can be cast at. Raises MissingExtraError without embreex."""

    def __init__(self, mesh: Mesh) -> None:
        purpose = "casting rays at a mesh"
        self._scene = library("embreex.rtcore_scene", purpose).EmbreeScene()
        triangles = library("embreex.mesh_construction", purpose).TriangleMesh
        triangles(self._scene, mesh.vertices.astype(np.float32), mesh.faces.astype(np.int32))

    def hits(self, origins: np.ndarray, directions: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """What the rays from `origins` (n, 3) along `directions` (n, 3) hit first: faces int64 (n,), -1 for nothing; the weights of each
        face's corners at the point hit, float64 (n, 3); and its distance (n,) in lengths of the direction, infinite for nothing."""
        found = self._scene.run(*_floats(origins, directions), output=True)
        faces, u, v = found["primID"].astype(np.int64), found["u"].astype(np.float64), found["v"].astype(np.float64)
        return faces, np.stack([1 - u - v, u, v], axis=1), np.where(faces >= 0, found["tfar"].astype(np.float64), np.inf)

    def clear(self, origins: np.ndarray, points: np.ndarray) -> np.ndarray:
        """bool (n,): whether nothing stands between `origins` (n, 3) and `points` (n, 3)."""
        towards = points - origins
        lengths = np.linalg.norm(towards, axis=1)
        until = np.maximum(1 - TOLERANCE / np.maximum(lengths, TOLERANCE), 0).astype(np.float32)
        found: np.ndarray = self._scene.run(*_floats(origins, towards), dists=until, query="OCCLUDED") < 0
        return found

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


def _floats(*arrays: np.ndarray) -> list[Any]:
    return [np.ascontiguousarray(one, dtype=np.float32) for one in arrays]
