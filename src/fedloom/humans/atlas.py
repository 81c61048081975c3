"""Unfolding a mesh into a square picture: charts that look along one of the six axes, none of which covers itself, packed into rows."""

from __future__ import annotations

import numpy as np

from fedloom.errors import RecipeError
from fedloom.humans.mesh import Mesh
from fedloom.humans.rays import RayScene

EYES = np.zeros((6, 3, 3))
"""For each axis, 0 to 2 along x, y, z, 3 to 5 against them, what turns a point into right, down, and towards the eye outside."""
EYES[range(6), [1, 0, 0, 1, 0, 0], 0] = 1, -1, 1, -1, 1, -1
EYES[range(6), [2, 2, 1, 2, 2, 1], 1] = -1
EYES[range(6), [0, 1, 2, 0, 1, 2], 2] = 1, 1, 1, -1, -1, -1

GUTTER = 4
"""Texels left free between charts, so that a viewer that blends neighbouring texels takes none of another chart."""

SMOOTHING = 4
"""How often each face may turn to the axis that its neighbours look along."""

STEEP = 0.35
"""The least cosine between a face's normal and the axis that its chart looks along."""

BELOW = 1e-3
"""How much higher, in metres, what covers a face lies: nearer is the face itself, or a neighbour."""

ROUNDS = 8
"""How often charts that cover themselves are taken apart."""


def unfolded(mesh: Mesh, size: int) -> np.ndarray:
    """Where each corner of each face lies in a picture of `size` x `size` texels: float64 (m, 3, 2), in texels from its left and its top.

    No two faces share a texel, but for the edges of faces that cover others in part.
    """
    pairs = neighbouring_faces(mesh.faces)
    axes = _axes(mesh, pairs)
    sheets = np.zeros(len(axes), dtype=np.int64)
    for _ in range(ROUNDS):
        charts = _charts(pairs, axes, sheets)
        flat = _projected(mesh, axes)
        placed = _packed(flat[..., :2], charts, size)
        covered = _covered(np.concatenate([placed, flat[..., 2:]], axis=2))
        if not covered.any():
            break
        sheets = sheets + covered
    return placed


def neighbouring_faces(faces: np.ndarray) -> np.ndarray:
    """Pairs of faces (k, 2) that share an edge."""
    edges = np.sort(faces[:, [[0, 1], [1, 2], [2, 0]]].reshape(-1, 2), axis=1)
    order = np.lexsort((edges[:, 1], edges[:, 0]))
    same = (np.diff(edges[order], axis=0) == 0).all(axis=1)
    found: np.ndarray = np.stack([order[:-1][same], order[1:][same]], axis=1) // 3
    return found


def _axes(mesh: Mesh, pairs: np.ndarray) -> np.ndarray:
    """For each face one of the six axes: the nearest to its normal, unless its neighbours agree on another that is near enough."""
    normals = mesh.face_normals
    normals = normals / np.maximum(np.linalg.norm(normals, axis=1, keepdims=True), 1e-12)
    cosines = np.concatenate([normals, -normals], axis=1)
    axes = cosines.argmax(axis=1)
    allowed = (cosines >= STEEP) | (np.arange(6) == axes[:, None])
    for _ in range(SMOOTHING):
        votes = np.zeros_like(cosines)
        np.add.at(votes, (pairs[:, 0], axes[pairs[:, 1]]), 1.0)
        np.add.at(votes, (pairs[:, 1], axes[pairs[:, 0]]), 1.0)
        axes = np.where(allowed, votes + cosines, -np.inf).argmax(axis=1)
    return axes


def _charts(pairs: np.ndarray, axes: np.ndarray, sheets: np.ndarray) -> np.ndarray:
    """The number of each face's chart: neighbours with the same axis and the same sheet share one."""
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    together = pairs[(axes[pairs[:, 0]] == axes[pairs[:, 1]]) & (sheets[pairs[:, 0]] == sheets[pairs[:, 1]])]
    graph = coo_array((np.ones(len(together)), (together[:, 0], together[:, 1])), shape=(len(axes), len(axes)))
    found: np.ndarray = connected_components(graph, directed=False)[1]
    return found


def _projected(mesh: Mesh, axes: np.ndarray) -> np.ndarray:
    """The corners of each face (m, 3, 3) as seen along its axis from outside: right, down, and the height towards the eye, in metres."""
    return mesh.vertices[mesh.faces] @ EYES[axes]


def _packed(flat: np.ndarray, charts: np.ndarray, size: int) -> np.ndarray:
    """`flat` (m, 3, 2), in metres, each chart moved to a place of its own in the picture, all at one scale, the largest of those tried.

    Raises RecipeError where the picture has no room for so many charts at any scale.
    """
    count = charts.max(initial=-1) + 1
    low, high = np.full((count, 2), np.inf), np.full((count, 2), -np.inf)
    for corner in range(3):
        np.minimum.at(low, charts, flat[:, corner])
        np.maximum.at(high, charts, flat[:, corner])
    extents = high - low
    if _rows(np.ones((count, 2), dtype=int) + GUTTER, size) is None:
        raise RecipeError(f"--texture {size}: is too small for the {count} pieces of a layer's surface; make it larger")
    scale = size / max(np.sqrt(extents.prod(axis=1).sum()), extents.max(initial=0), 1e-9)
    while (places := _rows(np.ceil(extents * scale).astype(int) + GUTTER, size)) is None:
        scale *= 0.97
    return (flat - low[charts][:, None]) * scale + places[charts][:, None] + GUTTER / 2


def _rows(boxes: np.ndarray, size: int) -> np.ndarray | None:
    """Upper left corners (k, 2) for `boxes` (k, 2), width and height, set in rows, the highest first; null where they do not fit."""
    places = np.zeros((len(boxes), 2))
    x = y = row = 0
    for box in np.argsort(-boxes[:, 1], kind="stable"):
        width, height = boxes[box]
        if x + width > size:
            x, y, row = 0, y + row, 0
        if x + width > size or y + height > size:
            return None
        places[box] = x, y
        x, row = x + width, max(row, height)
    return places


def _covered(corners: np.ndarray) -> np.ndarray:
    """Which faces (m, 3, 3), right, down and height, lie with their middle below another."""
    flat = Mesh(corners.reshape(-1, 3), np.arange(corners.shape[0] * 3).reshape(-1, 3))
    middles = corners.mean(axis=1)
    height = np.ptp(corners[..., 2]) + 1
    hits = RayScene([flat]).first(middles + np.array([0.0, 0.0, height]), np.broadcast_to([0.0, 0.0, -1.0], middles.shape))
    found: np.ndarray = height - hits.distance > BELOW
    return found
