"""Rays that are cast against meshes (Embree): what a pixel looks at, and whether a point can be seen from somewhere."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from fedloom.errors import MissingExtraError
from fedloom.humans.mesh import Mesh


@dataclass(frozen=True, eq=False)
class Hits:
    """For n rays what each meets first: `mesh` int64 (n,), the number of the mesh, -1 for none, `face` int64 (n,) of that mesh, `weights`
    (n, 3), the barycentric coordinates on the face, and `distance` (n,) along the ray, in lengths of its direction."""

    mesh: np.ndarray = field(repr=False)
    face: np.ndarray = field(repr=False)
    weights: np.ndarray = field(repr=False)
    distance: np.ndarray = field(repr=False)


class RayScene:
    """Meshes to cast rays against. Raises MissingExtraError without embreex."""

    def __init__(self, meshes: Sequence[Mesh]) -> None:
        try:
            from embreex.mesh_construction import TriangleMesh
            from embreex.rtcore_scene import EmbreeScene
        except ImportError:
            raise MissingExtraError("embreex", "humans", "casting rays") from None
        self._scene = EmbreeScene(robust=True)
        self._numbers = [number for number, mesh in enumerate(meshes) if len(mesh.faces)]
        for number in self._numbers:
            TriangleMesh(self._scene, meshes[number].vertices.astype(np.float32), meshes[number].faces.astype(np.int32))

    def first(self, origins: np.ndarray, directions: np.ndarray) -> Hits:
        """What rays from `origins` (n, 3) along `directions` (n, 3) meet first, seen from inside and outside alike."""
        if not self._numbers or not len(origins):
            nothing = np.full(len(origins), -1)
            return Hits(nothing, nothing, np.zeros((len(origins), 3)), np.full(len(origins), np.inf))
        found = self._scene.run(_floats(origins), _floats(directions), output=1)
        met = found["primID"] >= 0
        u, v = found["u"].astype(np.float64), found["v"].astype(np.float64)
        return Hits(
            np.where(met, np.array(self._numbers)[found["geomID"]], -1),
            found["primID"].astype(np.int64),
            np.stack([1 - u - v, u, v], axis=1),
            np.where(met, found["tfar"], np.inf),
        )

    def blocked(self, origins: np.ndarray, target: np.ndarray, until: np.ndarray | None = None) -> np.ndarray:
        """Whether anything lies between each of `origins` (n, 3) and `target` (3,) or (n, 3): bool (n,). Only the share `until` (n,) of the
        way is looked at; null: all of it."""
        if not self._numbers or not len(origins):
            return np.zeros(len(origins), dtype=bool)
        shares = _floats(np.ones(len(origins)) if until is None else until)
        found: np.ndarray = self._scene.run(_floats(origins), _floats(target - origins), dists=shares, query="OCCLUDED")
        return found >= 0


def _floats(values: np.ndarray) -> np.ndarray:
    return np.ascontiguousarray(values, dtype=np.float32)
