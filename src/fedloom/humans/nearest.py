"""The nearest points of a mesh, exactly, and on which side of it points lie."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from fedloom.humans.extra import library
from fedloom.humans.mesh import Mesh, unit
from fedloom.humans.topology import edges_of

AT_ONCE = 8
"""Triangles that are tried for a point at first, those with the nearest middles."""

CORNER = 1e-6
"""The weight of a corner below which a point is said to lie on the opposite side of its triangle."""

PURPOSE = "distances to a mesh"


@dataclass(frozen=True, eq=False)
class Nearest:
    """For n points: the nearest `points` float64 (n, 3) of the mesh, the `faces` (n,) that they lie on, and the `distances` (n,) to them
    in metres."""

    points: np.ndarray = field(repr=False)
    faces: np.ndarray = field(repr=False)
    distances: np.ndarray = field(repr=False)


def nearest(mesh: Mesh, points: np.ndarray) -> Nearest:
    """Where `mesh` is nearest to each of `points` (n, 3).

    Triangles are tried in the order of the distances of their middles, until those left are too far away to hold a nearer point: no
    point of a triangle is farther from its middle than its farthest corner. Triangles of like size are taken together.
    """
    found = Nearest(np.full(points.shape, np.nan), np.full(len(points), -1), np.full(len(points), np.inf))
    triangles = mesh.vertices[mesh.faces]
    middles = triangles.mean(axis=1)
    radii = np.linalg.norm(triangles - middles[:, None], axis=2).max(axis=1)
    for own in _of_like_size(radii):
        _try(found, points, triangles, middles, radii, own)
    return found


def signed_distances(mesh: Mesh, points: np.ndarray) -> np.ndarray:
    """The distances (n,) of `points` (n, 3) to `mesh`, in metres, negative inside. `mesh` is closed.

    The side is that of the pseudonormal at the nearest point: of its face, of both faces of its edge, or of those around its corner, each
    by its angle there (Bærentzen and Aanæs 2005, "Signed distance computation using the angle weighted pseudonormal").
    """
    closest = nearest(mesh, points)
    outwards = np.einsum("nd,nd->n", points - closest.points, _pseudonormals(mesh, closest))
    return np.where(outwards < 0, -closest.distances, closest.distances)


def _of_like_size(radii: np.ndarray) -> list[np.ndarray]:
    """The numbers of the triangles, in groups whose radii differ by a factor of 4 at most, the largest group first."""
    sizes = np.floor(np.log2(np.maximum(radii, 1e-12)) / 2)
    return sorted((np.flatnonzero(sizes == size) for size in np.unique(sizes)), key=len, reverse=True)


def _try(found: Nearest, points: np.ndarray, triangles: np.ndarray, middles: np.ndarray, radii: np.ndarray, own: np.ndarray) -> None:
    """Looks among the triangles `own` for nearer points than those `found`."""
    closest_point = library("trimesh.triangles", PURPOSE).closest_point
    tree = library("scipy.spatial", PURPOSE).cKDTree(middles[own])
    reach, left, tried, count = radii[own].max(), np.arange(len(points)), 0, min(AT_ONCE, len(own))
    while len(left) and tried < len(own):
        gaps, places = tree.query(points[left], k=range(tried + 1, count + 1))
        faces = own[places]
        rows, columns = np.nonzero(gaps - radii[faces] < found.distances[left, None])
        pairs = left[rows], faces[rows, columns]
        spots = closest_point(triangles[pairs[1]], points[pairs[0]])
        _keep(found, *pairs, spots, np.linalg.norm(spots - points[pairs[0]], axis=1))
        left = left[gaps[:, -1] - reach < found.distances[left]]
        tried, count = count, min(2 * count, len(own))


def _keep(found: Nearest, rows: np.ndarray, faces: np.ndarray, spots: np.ndarray, distances: np.ndarray) -> None:
    """Keeps of each row the spot that is nearest, if it is nearer than what was found."""
    order = np.lexsort((faces, distances, rows))
    best = order[np.unique(rows[order], return_index=True)[1]]
    best = best[distances[best] < found.distances[rows[best]]]
    found.points[rows[best]], found.faces[rows[best]], found.distances[rows[best]] = spots[best], faces[best], distances[best]


def _pseudonormals(mesh: Mesh, closest: Nearest) -> np.ndarray:
    """The pseudonormals (n, 3), of any length, at the nearest points."""
    corners = mesh.vertices[mesh.faces[closest.faces]]
    weights = library("trimesh.triangles", PURPOSE).points_to_barycentric(corners, closest.points)
    away = weights < CORNER
    of_faces = unit(mesh.face_normals)
    of_edges, of_corners = _summed_normals(mesh, of_faces)
    at_edge = of_edges[closest.faces, (away.argmax(axis=1) + 1) % 3]
    at_corner = of_corners[mesh.faces[closest.faces, weights.argmax(axis=1)]]
    return np.select([(away.sum(axis=1) >= 2)[:, None], away.any(axis=1)[:, None]], [at_corner, at_edge], of_faces[closest.faces])


def _summed_normals(mesh: Mesh, normals: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The sums of the faces' unit `normals` at each face's edges (m, 3, 3), and those around each vertex by their angles (n, 3)."""
    pairs, sides = edges_of(mesh.faces)
    of_edges, of_corners = np.zeros((len(pairs), 3)), np.zeros_like(mesh.vertices)
    for corner in range(3):
        np.add.at(of_edges, sides[:, corner], normals)
        here, after, before = (mesh.vertices[mesh.faces[:, (corner + turn) % 3]] for turn in (0, 1, 2))
        cosines = np.einsum("md,md->m", unit(after - here), unit(before - here))
        np.add.at(of_corners, mesh.faces[:, corner], normals * np.arccos(np.clip(cosines, -1, 1))[:, None])
    return of_edges[sides], of_corners
