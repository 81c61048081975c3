"""Cutting the faces of a mesh where one layer ends and the next begins."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from fedloom.humans.mesh import Mesh
from fedloom.humans.topology import edges_of

ENDS = 0.02
"""A cut keeps this share of an edge away from its ends: nearer, faces would have no area."""


@dataclass(frozen=True, eq=False)
class Layered:
    """A mesh, and the number in LAYERS of each of its faces, int64 (m,)."""

    mesh: Mesh
    face_labels: np.ndarray = field(repr=False)


def cut(mesh: Mesh, scores: np.ndarray) -> Layered:
    """`mesh` with its faces cut where another label has the highest of the `scores` (n, labels), which are linear along an edge.

    An edge between two labels gets a vertex where their scores are equal, a face with three labels one in its middle. The vertices of
    `mesh` keep their numbers. A boundary is a chain of the new ones: a curve instead of a staircase along the faces.
    """
    labels = scores.argmax(axis=1)
    pairs, sides = edges_of(mesh.faces)
    crossed = labels[pairs[:, 0]] != labels[pairs[:, 1]]
    numbers = len(labels) + np.cumsum(crossed) - 1
    changes = crossed[sides].sum(axis=1)
    middles = len(labels) + crossed.sum() + np.arange((changes == 3).sum())
    left, pieces = changes == 0, [_of_two(mesh.faces, numbers[sides], crossed[sides], changes == 2)]
    pieces.append(_of_three(mesh.faces[changes == 3], numbers[sides[changes == 3]], middles))
    faces = np.concatenate([mesh.faces[left], *(faces for faces, _ in pieces)])
    owners = np.concatenate([mesh.faces[left, 0], *(owners for _, owners in pieces)])
    return Layered(_with_cuts(mesh, scores, pairs[crossed], faces, sides[changes == 3], numbers), labels[owners])


def boundary_length(layered: Layered) -> float:
    """The length of all edges between faces of different layers, in metres."""
    pairs, sides = edges_of(layered.mesh.faces)
    lowest, highest = np.full(len(pairs), np.iinfo(np.int64).max), np.full(len(pairs), -1)
    for side in sides.T:
        np.minimum.at(lowest, side, layered.face_labels)
        np.maximum.at(highest, side, layered.face_labels)
    a, b = layered.mesh.vertices[pairs[lowest != highest]].transpose(1, 0, 2)
    return float(np.linalg.norm(a - b, axis=1).sum())


def _of_two(faces: np.ndarray, numbers: np.ndarray, crossed: np.ndarray, own: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The three parts of each of the `own` faces, with two labels: the corner that is alone, and the rest. With each part a vertex that
    has its label."""
    faces, numbers, crossed = faces[own], numbers[own], crossed[own]
    turns = (np.argmin(crossed, axis=1)[:, None] + [2, 0, 1]) % 3  # the side that is not crossed lies opposite to the corner that is alone
    a, b, c = np.take_along_axis(faces, turns, axis=1).T
    ab, _, ca = np.take_along_axis(numbers, turns, axis=1).T
    parts = [(a, ab, ca, a), (ab, b, c, b), (ab, c, ca, b)]
    return _joined(parts)


def _of_three(faces: np.ndarray, numbers: np.ndarray, middles: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The six parts of faces with three labels, two at each corner."""
    parts = []
    for corner in range(3):
        own, after, before = faces[:, corner], numbers[:, corner], numbers[:, corner - 1]
        parts += [(own, after, middles, own), (own, middles, before, own)]
    return _joined(parts)


def _joined(parts: Sequence[tuple[np.ndarray, ...]]) -> tuple[np.ndarray, np.ndarray]:
    faces = np.concatenate([np.stack(corners, axis=1) for *corners, _ in parts])
    return faces, np.concatenate([owner for *_, owner in parts])


def _with_cuts(mesh: Mesh, scores: np.ndarray, pairs: np.ndarray, faces: np.ndarray, threes: np.ndarray, numbers: np.ndarray) -> Mesh:
    """The mesh of the cut `faces`: a vertex on each of the crossed edges `pairs` (k, 2), and one amid each face of three labels."""
    a, b = pairs.T
    labels = scores.argmax(axis=1)
    ahead = scores[a, labels[a]] - scores[a, labels[b]]
    behind = scores[b, labels[b]] - scores[b, labels[a]]
    share = np.clip(ahead / np.maximum(ahead + behind, 1e-12), ENDS, 1 - ENDS)[:, None]

    def along(values: np.ndarray) -> np.ndarray:
        values = np.concatenate([values, values[a] * (1 - share) + values[b] * share])
        return np.concatenate([values, values[numbers[threes]].mean(axis=1)]) if len(threes) else values

    colours = None if mesh.colours is None else along(mesh.colours).astype(np.float32)
    return Mesh(along(mesh.vertices), faces, colours)
