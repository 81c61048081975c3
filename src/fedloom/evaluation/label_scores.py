"""Accuracy and F1 of labels, from counts: right labels in rows, said ones in columns."""

from __future__ import annotations

import numpy as np


def confusion(right: np.ndarray, said: np.ndarray, counts: np.ndarray, labels: int) -> np.ndarray:
    """How often each label, (labels, labels), was right in rows and said in columns; row i stands `counts[i]` times."""
    return np.bincount(right * labels + said, weights=counts, minlength=labels * labels).reshape(labels, labels)


def accuracy(found: np.ndarray) -> float:
    return float(np.trace(found) / found.sum())


def macro_f1(found: np.ndarray) -> float:
    """The mean over all labels of F1; a label that is never right and never said has 0."""
    return float(_f1(found).mean())


def weighted_f1(found: np.ndarray) -> float:
    """The mean over labels of F1, each weighing what it has right rows."""
    return float(np.average(_f1(found), weights=found.sum(1)))


def _f1(found: np.ndarray) -> np.ndarray:
    """2 TP / (2 TP + FP + FN) of each label, (labels,)."""
    both = found.sum(0) + found.sum(1)
    return np.divide(2 * np.diag(found), both, out=np.zeros(len(found)), where=both > 0)
