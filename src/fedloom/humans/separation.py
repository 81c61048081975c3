"""Semantic and confidence guided separation: which layer each vertex of a dressed person belongs to, from the parsing of its photographs.

Each vertex is voted on by the views that see it. Where they disagree, or none sees it, the vertex takes the layer of what is around it,
along the surface and not across its creases. USR (arXiv 2302.10518) names the block; how it is built is ours.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from fedloom.data.cameras import Camera
from fedloom.data.records import PARSING
from fedloom.errors import DataError
from fedloom.humans.extra import library
from fedloom.humans.mesh import LAYERS, Mesh
from fedloom.humans.topology import connected_parts, edges_of
from fedloom.humans.visibility import Scene

EDGE = 2.0
"""Pixels from the edge of a label within which a view's vote counts less."""

CONFIDENT = 0.6
"""Of its votes, the share for one layer from which on a vertex is held to them."""

CREASE = 0.1
"""s of the diffusion's weights exp(-(1 - cos) / s), with the cosine between the normals of two neighbours."""

ANCHOR = 0.5
"""How much a full vote weighs in the diffusion, where a neighbour on a flat surface weighs 1."""

PIECES: Mapping[str, int] = {"hair": 1, "upper": 1, "lower": 1, "shoes": 2}
"""So many pieces a layer consists of. Of bare skin there may be any number."""

SIZEABLE = 0.2
"""A further piece stays if it has this share of its layer's area: an arm held before a jacket divides it."""

SPECK = 0.008
"""The area in square metres below which a piece of skin is none: that of a child's hand is twice as much."""

BLUR = 1.0
"""The standard deviation of the blur of hard labels, in pixels."""

PURPOSE = "separating a person into layers"


@dataclass(frozen=True, eq=False)
class Parsed:
    """A view's camera, and its `parsing`: numbers of PARSING, int (height, width), or their probabilities, float (height, width, 6)."""

    camera: Camera
    parsing: np.ndarray = field(repr=False)


@dataclass(frozen=True, eq=False)
class Separated:
    """For each vertex the number of its layer in LAYERS, int64 (n,); how far the layers share it, float64 (n, 5), rows that sum to 1; its
    confidence (n,), the largest share of its votes, 0 where no view saw it; and for each face its layer, int64 (m,)."""

    labels: np.ndarray = field(repr=False)
    shares: np.ndarray = field(repr=False)
    confidence: np.ndarray = field(repr=False)
    face_labels: np.ndarray = field(repr=False)

    @property
    def faces(self) -> dict[str, np.ndarray]:
        """The numbers of each layer's faces."""
        return {layer: np.flatnonzero(self.face_labels == number) for number, layer in enumerate(LAYERS)}


def separate(mesh: Mesh, views: Sequence[Parsed]) -> Separated:
    """The layers of `mesh`, a person's surface that hangs together. Raises DataError if no view sees a layer of it."""
    voted = votes(mesh, views)
    confidence = _confidence(voted)
    shares = diffused(mesh, voted)
    labels = without_islands(mesh, shares.argmax(axis=1))
    moved = labels != shares.argmax(axis=1)
    shares[moved] = np.eye(len(LAYERS))[labels[moved]]
    return Separated(labels, shares, confidence, majority(mesh.faces, labels, confidence))


def votes(mesh: Mesh, views: Sequence[Parsed]) -> np.ndarray:
    """The votes for each vertex, float64 (n, 5): from each view that sees it, what the parsing has at its pixel, times the cosine between
    normal and view, times min(1, d / 2) at a distance of d pixels to the label's edge. Votes for the background are void.

    Raises DataError where no vertex has a vote.
    """
    scene, normals = Scene(mesh), mesh.normals
    found = np.zeros((len(mesh.vertices), len(LAYERS)))
    for view in views:
        seen = np.flatnonzero(scene.seen(view.camera, mesh.vertices, normals))
        towards = view.camera.centre - mesh.vertices[seen]
        cosines = np.einsum("nd,nd->n", normals[seen], towards) / np.linalg.norm(towards, axis=1)
        pixels = view.camera.seen(mesh.vertices[seen])[0].astype(int)
        shares, certainty = _read(view.parsing)
        column, row = pixels.T
        found[seen] += (cosines * certainty[row, column])[:, None] * shares[row, column, 1:]
    if not found.any():
        raise DataError("no view sees a layer of the surface: its cameras or its parsing do not belong to it")
    return found


def diffused(mesh: Mesh, voted: np.ndarray) -> np.ndarray:
    """Shares (n, 5) that minimise sum_ij w_ij |p_i - p_j|^2 + sum_i a_i |p_i - v_i|^2 over the edges ij: v the votes' shares, w =
    exp(-(1 - cos) / s) with the cosine between the normals, and the anchor a, which is 0 for a vertex without confidence."""
    cg = library("scipy.sparse.linalg", PURPOSE).cg
    sparse = library("scipy.sparse", PURPOSE)
    anchors, weights = _anchors(voted), _weights(mesh)
    degrees = np.asarray(weights.sum(axis=1)).ravel() + anchors
    matrix = sparse.diags(degrees) - weights
    scaling = sparse.diags(1 / degrees)
    shares = voted / np.maximum(voted.sum(axis=1, keepdims=True), 1e-12)
    found = np.stack([cg(matrix, anchors * own, x0=own, rtol=1e-3, maxiter=200, M=scaling)[0] for own in shares.T], axis=1)
    found = np.maximum(found, 1e-9)
    return found / found.sum(axis=1, keepdims=True)


def without_islands(mesh: Mesh, labels: np.ndarray) -> np.ndarray:
    """`labels` (n,) of the vertices where every small piece of a layer has the label that most of its neighbours have."""
    while True:
        moved = _moved_from_islands(mesh, labels)
        if (moved == labels).all():
            return labels
        labels = moved


def majority(faces: np.ndarray, labels: np.ndarray, confidence: np.ndarray) -> np.ndarray:
    """The label that two corners of a face share, (m,); of three different ones that of the most confident corner."""
    a, b, c = labels[faces].T
    best = labels[faces[np.arange(len(faces)), confidence[faces].argmax(axis=1)]]
    return np.where((a == b) | (a == c), a, np.where(b == c, b, best))


def hard_labels(parsing: np.ndarray) -> np.ndarray:
    """The most likely class of each pixel, int (height, width), of a parsing as `Parsed` has it."""
    found: np.ndarray = _probabilities(parsing).argmax(axis=2)
    return found


def _read(parsing: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Of each pixel the classes' shares (height, width, 6), and min(1, d / 2) at a distance of d pixels to a label's edge."""
    ndimage = library("scipy.ndimage", PURPOSE)
    shares = _probabilities(parsing)
    labels = shares.argmax(axis=2)
    edge = ndimage.maximum_filter(labels, 3) != ndimage.minimum_filter(labels, 3)
    return shares, np.minimum(1, (ndimage.distance_transform_edt(~edge) + 0.5) / EDGE)


def _probabilities(parsing: np.ndarray) -> np.ndarray:
    """(height, width, 6). Hard labels are blurred a little, so that a single wrong pixel has neither a voice nor an edge."""
    if parsing.ndim == 3:
        return parsing
    hard = (parsing[..., None] == np.arange(len(PARSING))).astype(np.float32)
    found: np.ndarray = library("scipy.ndimage", PURPOSE).gaussian_filter(hard, (BLUR, BLUR, 0), truncate=2.0)
    return found


def _confidence(voted: np.ndarray) -> np.ndarray:
    """The largest share of each vertex's votes, (n,); 0 without votes."""
    found: np.ndarray = voted.max(axis=1) / np.maximum(voted.sum(axis=1), 1e-12)
    return found


def _anchors(voted: np.ndarray) -> np.ndarray:
    """How much each vertex is held to its votes, (n,): `ANCHOR` for each full vote, none where the layers' shares are too even."""
    found: np.ndarray = ANCHOR * voted.sum(axis=1) * (_confidence(voted) >= CONFIDENT)
    return found


def _weights(mesh: Mesh) -> Any:
    """exp(-(1 - cos) / s) of each edge's ends, as a sparse symmetric matrix (n, n)."""
    a, b = edges_of(mesh.faces)[0].T
    normals = mesh.normals
    weights = np.exp(-(1 - np.einsum("nd,nd->n", normals[a], normals[b])) / CREASE)
    both = np.concatenate([a, b]), np.concatenate([b, a])
    n = len(mesh.vertices)
    return library("scipy.sparse", PURPOSE).coo_matrix((np.concatenate([weights, weights]), both), shape=(n, n)).tocsr()


def _moved_from_islands(mesh: Mesh, labels: np.ndarray) -> np.ndarray:
    """`labels` where those of islands are the ones of most vertices on the shores around, as far as these are no islands themselves."""
    links, _ = edges_of(mesh.faces)
    pieces = connected_parts(links[labels[links[:, 0]] == labels[links[:, 1]]], len(labels))
    first = np.unique(pieces, return_index=True)[1]
    island = _is_island(np.bincount(pieces, _areas(mesh)), labels[first])
    a, b = np.concatenate([links, links[:, ::-1]]).T
    shore = island[pieces[a]] & ~island[pieces[b]]
    around = np.zeros((len(island), len(LAYERS)))
    np.add.at(around, (pieces[a[shore]], labels[b[shore]]), 1)
    return np.where(around.max(axis=1)[pieces] > 0, around.argmax(axis=1)[pieces], labels)


def _is_island(areas: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Which pieces are too small for their layer, bool (k,), from their areas and labels (k,)."""
    found = np.zeros(len(areas), dtype=bool)
    for number, layer in enumerate(LAYERS):
        own = np.flatnonzero(labels == number)
        own = own[np.argsort(-areas[own], kind="stable")]
        if layer in PIECES:
            further = own[PIECES[layer] :]
            found[further] = areas[further] < SIZEABLE * areas[own].sum()
        else:
            found[own] = areas[own] < SPECK
    return found


def _areas(mesh: Mesh) -> np.ndarray:
    """The area around each vertex, a third of that of its faces, (n,) in square metres."""
    thirds = np.repeat(np.linalg.norm(mesh.face_normals, axis=1) / 6, 3)
    return np.bincount(mesh.faces.ravel(), thirds, minlength=len(mesh.vertices))
