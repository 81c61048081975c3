"""Numbers with a wanted mean and deviation: sizes of clients, lengths of texts.

Both are skewed like a log-normal variable: most are small, a few very large. Numbers are its quantiles, so that a draw of few has the
wanted moments, too; only which of them is whose is drawn.
"""

from __future__ import annotations

from statistics import NormalDist

import numpy as np

from fedloom.bench.published import Moments

ROUNDS = 60
"""Times that the log-normal variable is corrected for what rounding and the least values change."""


def skewed(order: np.ndarray, wanted: Moments, least: np.ndarray | float) -> np.ndarray:
    """Numbers (n,) with the mean and deviation `wanted`, none below `least` ((n,) or one for all); `order` (n,) says which are larger.

    X = exp(mu + sigma z) with z the normal quantile of each number's rank, sigma^2 = ln(1 + (s/m)^2) and mu = ln m - sigma^2/2 for the mean
    m and the deviation s, which are corrected until max(X, least) has the wanted ones.
    """
    z = np.empty(len(order))
    z[np.argsort(order, kind="stable")] = [NormalDist().inv_cdf((rank + 0.5) / len(order)) for rank in range(len(order))]
    mean, deviation = wanted
    found = np.full(len(order), float(wanted.mean))
    for _ in range(ROUNDS):
        sigma = np.sqrt(np.log1p((deviation / mean) ** 2))
        found = np.maximum(np.exp(np.log(mean) - sigma**2 / 2 + sigma * z), least)
        if found.std() == 0:
            break
        mean, deviation = mean * wanted.mean / found.mean(), deviation * wanted.deviation / found.std()
    return found


def whole_sizes(order: np.ndarray, total: int, deviation: float, least: int) -> np.ndarray:
    """Whole numbers (n,) with the sum `total`, the deviation as near to the wanted one as that allows, and none below `least`."""
    sizes = np.rint(skewed(order, Moments(total / len(order), deviation), least)).astype(int)
    largest = np.argsort(-sizes, kind="stable")
    place = 0
    while (missing := total - int(sizes.sum())) != 0:
        step = 1 if missing > 0 else -1
        if sizes[largest[place % len(sizes)]] + step >= least:
            sizes[largest[place % len(sizes)]] += step
        place += 1
    return sizes
