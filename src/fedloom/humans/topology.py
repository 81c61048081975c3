"""How the faces of a mesh hang together: edges, parts, and the loops around some of its faces."""

from __future__ import annotations

import numpy as np

from fedloom.humans.extra import library


def edges_of(faces: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The edges of `faces`, each once, int64 (k, 2) with the smaller vertex first; and for each face the numbers of its edges, int64
    (m, 3), from each corner to the next."""
    count = int(faces.max(initial=0)) + 1
    ends = np.sort(np.stack([faces, np.roll(faces, -1, axis=1)], axis=2), axis=2)
    codes, numbers = np.unique(ends[..., 0] * count + ends[..., 1], return_inverse=True)
    return np.stack(np.divmod(codes, count), axis=1), numbers.reshape(faces.shape)


def connected_parts(links: np.ndarray, vertices: int) -> np.ndarray:
    """For each of so many vertices the number of the part that it belongs to, int (vertices,), where `links` (k, 2) join vertices."""
    sparse = library("scipy.sparse", "the parts of a mesh")
    graph = sparse.coo_matrix((np.ones(len(links), dtype=bool), links.T), shape=(vertices, vertices))
    found: np.ndarray = library("scipy.sparse.csgraph", "the parts of a mesh").connected_components(graph, directed=False)[1]
    return found


def boundary_loops(faces: np.ndarray, inside: np.ndarray) -> list[np.ndarray]:
    """The closed chains of vertices around the faces that are `inside`, bool (m,): each an int64 array, along which these faces lie on the
    left, seen from outside of the mesh."""
    following = _following(faces[inside])
    loops = []
    while following:
        loop = [next(iter(following))]
        while targets := following.get(loop[-1]):
            loop.append(targets.pop())
            if not targets:
                del following[loop[-2]]
        loops.append(np.array(loop[:-1]))
    return loops


def _following(faces: np.ndarray) -> dict[int, list[int]]:
    """For each vertex of the boundary of `faces` those that come next on it."""
    found: dict[int, list[int]] = {}
    ends = np.concatenate([faces[:, [0, 1]], faces[:, [1, 2]], faces[:, [2, 0]]])
    count = int(faces.max(initial=0)) + 1
    open_ended = ~np.isin(ends[:, 0] * count + ends[:, 1], ends[:, 1] * count + ends[:, 0])
    for start, end in ends[open_ended].tolist():
        found.setdefault(start, []).append(end)
    return found
