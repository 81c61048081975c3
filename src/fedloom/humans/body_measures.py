"""Measures of dressing: how well the body was found, and whether clothes tear."""

from __future__ import annotations

import numpy as np

from fedloom.humans.mesh import Mesh

TORN = 2.0
"""An edge counts as torn that has become so many times as long."""


def body_error(found: np.ndarray, truth: np.ndarray) -> float:
    """The mean distance in centimetres between vertices (V, 3) and the true ones."""
    return float(100 * np.linalg.norm(found - truth, axis=1).mean())


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
