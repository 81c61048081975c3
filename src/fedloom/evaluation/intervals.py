"""How far a number over rows can be trusted: bootstrap intervals, and the comparison of two models on the same rows."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from math import comb

import numpy as np

from fedloom.streams import numpy_stream

RESAMPLES = 2000
LEVEL = 0.95

Summary = Callable[[np.ndarray], Mapping[str, float]]
"""From how often each row counts, (rows,), to the value of each measure."""


@dataclass(frozen=True)
class Interval:
    """A value, and the ends of its 95% interval."""

    value: float
    low: float
    high: float

    @property
    def holds_zero(self) -> bool:
        return self.low <= 0 <= self.high


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


def mcnemar(first: Sequence[float], second: Sequence[float]) -> float:
    """The two-sided p-value of McNemar's exact test: whether, of the rows that one of two models alone has right, each has as many.

    `first` and `second` are 0 or 1 for each row. 1 where no row tells the two apart.
    """
    only_first = sum(a > b for a, b in zip(first, second, strict=True))
    only_second = sum(a < b for a, b in zip(first, second, strict=True))
    apart, fewer = only_first + only_second, min(only_first, only_second)
    return min(1.0, 2 * sum(comb(apart, k) for k in range(fewer + 1)) / 2**apart)


def _draws(rows: int, seed: int) -> Iterator[np.ndarray]:
    stream = numpy_stream(seed, "bootstrap")
    for _ in range(RESAMPLES):
        yield np.bincount(stream.integers(0, rows, rows), minlength=rows).astype(float)


def _interval(value: float, drawn: Sequence[float]) -> Interval:
    tail = (1 - LEVEL) / 2
    low, high = np.quantile(drawn, [tail, 1 - tail]) if drawn else (value, value)
    return Interval(value, float(low), float(high))
