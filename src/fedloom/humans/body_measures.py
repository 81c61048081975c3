"""Measures of dressing: how well the body was found, whether clothes enter it, and whether they tear."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from fedloom.humans.closest import closest_on
from fedloom.humans.mesh import Mesh

TORN = 2.0
"""An edge counts as torn that has become so many times as long."""


@dataclass(frozen=True)
class Penetration:
    """`share` of a garment's vertices that lie inside the body, and how deep they lie at the most, `depth` in metres; 0 if none does."""

    share: float
    depth: float


def body_error(found: np.ndarray, truth: np.ndarray) -> float:
    """The mean distance in centimetres between vertices (V, 3) and the true ones."""
    return float(100 * np.linalg.norm(found - truth, axis=1).mean())


def penetration(body: Mesh, vertices: np.ndarray) -> Penetration:
    """How far the vertices (n, 3) of a garment lie inside the body."""
    inside = np.maximum(-closest_on(body, vertices).distances, 0.0)
    return Penetration(float((inside > 0).mean()), float(inside.max(initial=0.0)))


def stretched(before: Mesh, after: np.ndarray) -> np.ndarray:
    """(edges,): how many times as long each edge of the garment is with its vertices at `after` (n, 3).

    Edges without a length are left out.
    """
    edges = before.edges
    old, new = (np.linalg.norm(places[edges[:, 0]] - places[edges[:, 1]], axis=1) for places in (before.vertices, after))
    found: np.ndarray = new[old > 0] / old[old > 0]
    return found


def torn_share(before: Mesh, after: np.ndarray) -> float:
    """The share of the garment's edges that have become more than twice as long: near 0 unless a sleeve has torn."""
    ratios = stretched(before, after)
    return float((ratios > TORN).mean()) if len(ratios) else 0.0
