"""How far two judges agree: over scores from 1 to 10, and over who won a comparison. Row i stands `counts[i]` times, (rows,)."""

from __future__ import annotations

import numpy as np


def within(first: np.ndarray, second: np.ndarray, counts: np.ndarray, points: float = 1.0) -> float | None:
    """The share of rows whose two scores are at most `points` apart; None without rows."""
    total = counts.sum()
    return float(counts[np.abs(first - second) <= points].sum() / total) if total else None


def spearman(first: np.ndarray, second: np.ndarray, counts: np.ndarray) -> float | None:
    """Spearman's rank correlation, equal scores having their mean rank; None where either judge gives all rows one score."""
    times = counts.astype(int)
    a, b = _ranks(np.repeat(first, times)), _ranks(np.repeat(second, times))
    if len(a) < 2 or a.std() == 0 or b.std() == 0:
        return None
    return float(np.corrcoef(a, b)[0, 1])


def kappa(first: np.ndarray, second: np.ndarray, counts: np.ndarray) -> float | None:
    """Cohen's kappa (1960) over the verdicts, (p_o - p_e) / (1 - p_e); None without rows, or where both judges give all rows one."""
    total = counts.sum()
    if not total:
        return None
    verdicts = np.union1d(first, second)
    ours, others = (np.array([counts[found == verdict].sum() / total for verdict in verdicts]) for found in (first, second))
    expected = float(ours @ others)
    observed = float(counts[first == second].sum() / total)
    return (observed - expected) / (1 - expected) if expected < 1 else None


def _ranks(values: np.ndarray) -> np.ndarray:
    """The rank of each value, from 1; that of equal ones is the mean of the places that they take."""
    _, place, times = np.unique(values, return_inverse=True, return_counts=True)
    return (np.cumsum(times) - (times - 1) / 2)[place]
