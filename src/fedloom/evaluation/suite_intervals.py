"""How far what a suite measured can be trusted: the interval of each measure, and whether two models are told apart on the same rows.

Large numbers of rows that differ are drawn again (bootstrap). Of few rows, or rows that are all alike, such draws know too little, down to
an interval without length: shares then have an interval by formula.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import numpy as np

from fedloom.evaluation.intervals import Difference, Interval, bonett_price, bootstrap, bootstrap_difference, mcnemar, wilson
from fedloom.evaluation.suite import Scored, Suite, mean_of
from fedloom.measures import Measure

FEW = 40
"""Rows up to which Wilson's interval is the one to take (Brown, Cai and DasGupta 2001, Statistical Science 16)."""

FEWEST_APART = 10
"""With fewer rows no two models are told apart."""

ALPHA = 0.05
"""McNemar's test calls two models different below this p-value."""


def intervals(suite: Suite, rows: Sequence[Scored]) -> dict[str, Interval]:
    """Each measure over `rows` with its interval.

    A share of at most `FEW` rows, or of rows that are all alike, has Wilson's; others the bootstrap's. Counts have none, and neither has
    what draws of few rows give one value for.
    """
    found = bootstrap(partial(suite.summary, rows), len(rows))
    declared = {measure.name: measure for measure in suite.measures}
    return {name: _of_value(declared.get(name), interval, rows) for name, interval in found.items()}


def differences(suite: Suite, first: Sequence[Scored], second: Sequence[Scored]) -> dict[str, Difference]:
    """What `second` has more than `first` of each measure, on the same rows, with its interval.

    A share of at most `FEW` rows, or of rows that all differ alike, has Bonett and Price's; others the bootstrap's. Told apart are models
    whose interval does not hold zero, of `FEWEST_APART` rows or more, and where every row is right or wrong by McNemar's exact test, too.
    """
    found = bootstrap_difference(partial(suite.summary, second), partial(suite.summary, first), len(first))
    declared = {measure.name: measure for measure in suite.measures}
    return {name: _of_difference(name, declared.get(name), interval, first, second) for name, interval in found.items()}


def p_value(name: str, first: Sequence[Scored], second: Sequence[Scored]) -> float | None:
    """Of McNemar's test; None unless every row is right or wrong."""
    both = [[row.values.get(name) for row in rows] for rows in (first, second)]
    if not all(value in (0.0, 1.0) for values in both for value in values):
        return None
    return mcnemar([float(value or 0) for value in both[0]], [float(value or 0) for value in both[1]])


def _of_value(measure: Measure | None, found: Interval, rows: Sequence[Scored]) -> Interval:
    if measure is not None and measure.unit == "count":
        return Interval(found.value, None, None)
    shares = _shares(measure, found.value, rows)
    if shares is not None and (len(shares) <= FEW or np.ptp(shares) == 0):
        return Interval(found.value, *wilson(float(shares.sum()), len(shares)))
    return _with_length(found)


def _of_difference(name: str, measure: Measure | None, found: Interval, first: Sequence[Scored], second: Sequence[Scored]) -> Difference:
    if measure is not None and measure.unit == "count":
        return Difference(found.value, None, None, False)
    gained = _gained(measure, found.value, first, second)
    if gained is not None and (len(gained) <= FEW or np.ptp(gained) == 0):
        won, lost = np.maximum(gained, 0).sum(), np.maximum(-gained, 0).sum()
        found = Interval(found.value, *bonett_price(float(won), float(lost), len(gained)))
    p = p_value(name, first, second)
    shown = _with_length(found)
    apart = shown.low is not None and not shown.holds_zero and len(first) >= FEWEST_APART and (p is None or p < ALPHA)
    return Difference(shown.value, shown.low, shown.high, apart)


def _shares(measure: Measure | None, value: float, rows: Sequence[Scored]) -> np.ndarray | None:
    """The values of rows of which a share is the mean, each from 0 to 1; None for another measure."""
    if measure is None or not measure.is_share or (mean := mean_of(measure.name, rows, np.ones(len(rows)))) is None:
        return None
    values = np.array([row.values[measure.name] for row in rows if measure.name in row.values])
    return values if abs(mean - value) < 1e-9 and values.min() >= 0 and values.max() <= 1 else None


def _gained(measure: Measure | None, value: float, first: Sequence[Scored], second: Sequence[Scored]) -> np.ndarray | None:
    """What each row has more in `second`; None unless the measure is the mean of shares, and every row has one in both."""
    if measure is None or any(measure.name not in row.values for row in (*first, *second)):
        return None
    gained = np.array([two.values[measure.name] - one.values[measure.name] for one, two in zip(first, second, strict=True)])
    return gained if measure.is_share and np.abs(gained).max() <= 1 and abs(gained.mean() - value) < 1e-9 else None


def _with_length(found: Interval) -> Interval:
    """`found`, without its ends where these are one value."""
    return found if found.low != found.high else Interval(found.value, None, None)
