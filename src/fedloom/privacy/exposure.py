"""Exposure: how much less a model is surprised by a secret that it was trained on than by secrets that it was not.

Carlini et al. 2019 (arXiv 1802.08232), definition 3: exposure = log2 |R| - log2 rank, the rank being that of the secret's loss, from the
lowest, among the losses of all secrets R. Here R is the secret and the canaries that were drawn and not inserted.
"""

from __future__ import annotations

import math

import numpy as np


def exposures(inserted: np.ndarray, others: np.ndarray) -> np.ndarray:
    """The exposure in bits of each inserted secret, from the losses of the inserted secrets (n,) and of the others (k,): (n,).

    A secret of equal loss counts half in the rank.
    """
    ordered = np.sort(others)
    below, up_to = (np.searchsorted(ordered, inserted, side=side) for side in ("left", "right"))
    found: np.ndarray = ceiling(len(others)) - np.log2(1 + (below + up_to) / 2)
    return found


def ceiling(others: int) -> float:
    """The largest exposure that can be measured beside so many other secrets: log2 |R|."""
    return math.log2(others + 1)


def by_chance(others: int) -> float:
    """The mean exposure of a secret that the model has not seen, every rank being as likely: log2 |R| - log2(|R|!) / |R|."""
    secrets = others + 1
    return math.log2(secrets) - math.lgamma(secrets + 1) / math.log(2) / secrets


def summary(inserted: np.ndarray, others: np.ndarray) -> dict[str, float | int]:
    """Mean and largest exposure, what is to be expected by chance, and what can be reached at the most."""
    found = exposures(inserted, others)
    return {
        "mean": float(found.mean()) if len(found) else 0.0,
        "largest": float(found.max(initial=0.0)),
        "by_chance": by_chance(len(others)),
        "ceiling": ceiling(len(others)),
        "inserted": len(inserted),
        "others": len(others),
    }
