"""How far a number over rows can be trusted: intervals by bootstrap and by formula, and the comparison of two models on the same rows."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from math import comb, sqrt
from statistics import NormalDist

import numpy as np

from fedloom.streams import numpy_stream

RESAMPLES = 2000
LEVEL = 0.95

Summary = Callable[[np.ndarray], Mapping[str, float]]
"""From how often each row counts, (rows,), to the value of each measure."""


@dataclass(frozen=True)
class Interval:
    """A value, and the ends of its 95% interval; None where there is none."""

    value: float
    low: float | None
    high: float | None

    @property
    def holds_zero(self) -> bool:
        return self.low is None or self.high is None or self.low <= 0 <= self.high


@dataclass(frozen=True)
class Difference(Interval):
    """What one model has more than another, and whether the rows tell the two apart."""

    told_apart: bool


def bootstrap(summary: Summary, rows: int, seed: int = 0) -> dict[str, Interval]:
    """Each measure over `rows` rows, with the percentile interval of `RESAMPLES` draws of as many rows with replacement (Efron and
    Tibshirani 1993, section 13.3). A draw in which a measure cannot be had is passed over."""
    values = summary(np.ones(rows))
    drawn: dict[str, list[float]] = {name: [] for name in values}
    for counts in _draws(rows, seed):
        for name, value in summary(counts).items():
            drawn[name].append(value)
    return {name: _interval(value, drawn[name]) for name, value in values.items()}


def bootstrap_difference(first: Summary, second: Summary, rows: int, seed: int = 0) -> dict[str, Interval]:
    """Each measure of `first` less that of `second`, both over the same `rows` rows, which are drawn together."""

    def difference(counts: np.ndarray) -> Mapping[str, float]:
        one, other = first(counts), second(counts)
        return {name: one[name] - other[name] for name in one if name in other}

    return bootstrap(difference, rows, seed)


def wilson(right: float, rows: int) -> tuple[float, float]:
    """The ends of the score interval of a share, `right` of `rows` (Wilson 1927, Journal of the American Statistical Association 22).

    `right` may be a sum of values from 0 to 1: as these vary less than right and wrong do, the interval is then wider than need be.
    """
    z, share = _quantile(), right / rows
    middle, half = share + z**2 / (2 * rows), z * sqrt(share * (1 - share) / rows + z**2 / (4 * rows**2))
    scale = 1 + z**2 / rows
    return max(0.0, (middle - half) / scale), min(1.0, (middle + half) / scale)


def bonett_price(won: float, lost: float, rows: int) -> tuple[float, float]:
    """The ends of the adjusted Wald interval of the difference of two shares of the same `rows`: one has `won` rows alone, the other `lost`
    (Bonett and Price 2012, Journal of Educational and Behavioral Statistics 37). Both may be sums, as in `wilson`."""
    ahead, behind = (won + 1) / (rows + 2), (lost + 1) / (rows + 2)
    middle, half = ahead - behind, _quantile() * sqrt((ahead + behind - (ahead - behind) ** 2) / (rows + 2))
    return max(-1.0, middle - half), min(1.0, middle + half)


def mcnemar(first: Sequence[float], second: Sequence[float]) -> float:
    """The two-sided p-value of McNemar's exact test: whether, of the rows that one of two models alone has right, each has as many.

    `first` and `second` are 0 or 1 for each row. 1 where no row tells the two apart.
    """
    only_first = sum(a > b for a, b in zip(first, second, strict=True))
    only_second = sum(a < b for a, b in zip(first, second, strict=True))
    apart, fewer = only_first + only_second, min(only_first, only_second)
    return min(1.0, 2 * sum(comb(apart, k) for k in range(fewer + 1)) / 2**apart)


def _quantile() -> float:
    return NormalDist().inv_cdf(1 - (1 - LEVEL) / 2)


def _draws(rows: int, seed: int) -> Iterator[np.ndarray]:
    stream = numpy_stream(seed, "bootstrap")
    for _ in range(RESAMPLES):
        yield np.bincount(stream.integers(0, rows, rows), minlength=rows).astype(float)


def _interval(value: float, drawn: Sequence[float]) -> Interval:
    tail = (1 - LEVEL) / 2
    low, high = np.quantile(drawn, [tail, 1 - tail]) if drawn else (value, value)
    return Interval(value, float(low), float(high))
