"""Clothes and hair as layers: meshes that are bound to the vertices of a body and so follow its shape, and whose skinning is the body's."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field

import numpy as np

Scale = tuple[int, int, float]
"""Two vertices of the body and the distance in metres between them along one axis, at which offsets count as they are."""


@dataclass(frozen=True, eq=False)
class Garment:
    """A piece of clothing, bound to a body of V vertices as MakeHuman's .mhclo files bind it.

    Each of its n vertices lies at the sum of three `references` (n, 3) of the body by `weights` (n, 3), which sum to 1, and an offset from
    there, `offsets` (n, 3) in metres, which grows with the body along each axis by `scales`. `face_uvs` (m, 3) number the corners of
    `faces` (m, 3) in `uvs` (k, 2), from 0 to 1 with the origin at the lower left of `texture`, uint8 (height, width, 4). `hides` (V,) are
    the vertices of the body that it covers.
    """

    name: str
    layer: str
    references: np.ndarray = field(repr=False)
    weights: np.ndarray = field(repr=False)
    offsets: np.ndarray = field(repr=False)
    scales: tuple[Scale, Scale, Scale] | None
    faces: np.ndarray = field(repr=False)
    uvs: np.ndarray = field(repr=False)
    face_uvs: np.ndarray = field(repr=False)
    texture: np.ndarray = field(repr=False)
    hides: np.ndarray = field(repr=False)


def bound(garment: Garment, body: np.ndarray) -> np.ndarray:
    """The garment's vertices (n, 3) on a body of vertices `body` (V, 3) in its canonical pose: sum_k w_k body[r_k] + scale * offset."""
    return np.einsum("nk,nkc->nc", garment.weights, body[garment.references]) + offset_scale(garment, body) * garment.offsets


def offset_scale(garment: Garment, body: np.ndarray) -> np.ndarray:
    """How much offsets grow along x, y and z on `body` (V, 3), (3,)."""
    if garment.scales is None:
        return np.ones(3)
    return np.array([abs(body[a, axis] - body[b, axis]) / metres for axis, (a, b, metres) in enumerate(garment.scales)])


def garment_skinning(garment: Garment, skinning: np.ndarray) -> np.ndarray:
    """(n, J): the blend of the rows of the body's `skinning` (V, J) at the three references, by their weights."""
    found: np.ndarray = np.einsum("nk,nkj->nj", garment.weights, skinning[garment.references])
    return found


def uncovered(faces: np.ndarray, garments: Collection[Garment]) -> np.ndarray:
    """Which of the body's `faces` (m, 3) are not hidden by `garments`, bool (m,): a face is hidden when all its corners are."""
    hidden = np.zeros(1 + faces.max(), dtype=bool)
    for garment in garments:
        hidden |= garment.hides[: len(hidden)]
    found: np.ndarray = ~hidden[faces].all(axis=1)
    return found
