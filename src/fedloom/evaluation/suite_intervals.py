"""How far what a suite measured can be trusted: the interval of each measure, and whether two models are told apart on the same rows.

Large numbers of rows that differ are drawn again (bootstrap). Of few rows, or rows that are all alike, such draws know too little, down to
an interval without length: shares then have an interval by formula.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from statistics import fmean

import numpy as np

from fedloom.evaluation.intervals import Difference, Interval, bonett_price, bootstrap, bootstrap_difference, mcnemar, wilson
from fedloom.evaluation.suite import Models, Suite
from fedloom.measures import Measure

FEW = 40
"""Rows up to which Wilson's interval is the one to take (Brown, Cai and DasGupta 2001, Statistical Science 16)."""

FEWEST_APART = 10
"""With fewer rows no two models are told apart."""

ALPHA = 0.05
"""McNemar's test calls two models different below this p-value."""


def intervals(suite: Suite, measures: Sequence[Measure], models: Models) -> dict[str, Interval]:
    """Each of the suite's `measures` over the rows of `models` with its interval; of several models the mean, on the same draws of rows.

    A share of at most `FEW` rows, or of rows that are all alike, has Wilson's; others the bootstrap's. Counts have none, and neither has
    what draws of few rows give one value for.
    """
    found = bootstrap(partial(_mean, suite, models), len(models[0]))
    declared = {measure.name: measure for measure in measures}
    return {name: _of_value(declared.get(name), interval, models) for name, interval in found.items()}


def differences(suite: Suite, measures: Sequence[Measure], first: Models, second: Models) -> dict[str, Difference]:
    """What `second` has more than `first` of each of the suite's `measures`, on the same rows, with its interval.

    A share of at most `FEW` rows, or of rows that all differ alike, has Bonett and Price's; others the bootstrap's. Told apart are systems
    whose interval does not hold zero, of `FEWEST_APART` rows or more, and where every row is right or wrong by McNemar's exact test, too.
    """
    found = bootstrap_difference(partial(_mean, suite, second), partial(_mean, suite, first), len(first[0]))
    declared = {measure.name: measure for measure in measures}
    return {name: _of_difference(name, declared.get(name), interval, first, second) for name, interval in found.items()}


def p_value(name: str, first: Models, second: Models) -> float | None:
    """Of McNemar's test; None unless every row is right or wrong."""
    one, other = _by_row(name, first), _by_row(name, second)
    return mcnemar(one.tolist(), other.tolist()) if np.isin([one, other], (0.0, 1.0)).all() else None


def _mean(suite: Suite, models: Models, counts: np.ndarray) -> dict[str, float]:
    """The mean over `models` of each measure that all of them have, when row i stands `counts[i]` times."""
    found = [suite.summary(rows, counts) for rows in models]
    return {name: fmean(one[name] for one in found) for name in found[0] if all(name in one for one in found)}


def _of_value(measure: Measure | None, found: Interval, models: Models) -> Interval:
    if measure is not None and measure.unit == "count":
        return Interval(found.value, None, None)
    shares = _shares(measure, found.value, models)
    if shares is not None and (len(shares) <= FEW or np.ptp(shares) == 0):
        return Interval(found.value, *wilson(float(shares.sum()), len(shares)))
    return _with_length(found)


def _of_difference(name: str, measure: Measure | None, found: Interval, first: Models, second: Models) -> Difference:
    if measure is not None and measure.unit == "count":
        return Difference(found.value, None, None, False)
    gained = _gained(measure, found.value, first, second)
    if gained is not None and (len(gained) <= FEW or np.ptp(gained) == 0):
        won, lost = np.maximum(gained, 0).sum(), np.maximum(-gained, 0).sum()
        found = Interval(found.value, *bonett_price(float(won), float(lost), len(gained)))
    p = p_value(name, first, second)
    shown = _with_length(found)
    apart = shown.low is not None and not shown.holds_zero and len(first[0]) >= FEWEST_APART and (p is None or p < ALPHA)
    return Difference(shown.value, shown.low, shown.high, apart)


def _shares(measure: Measure | None, value: float, models: Models) -> np.ndarray | None:
    """The values of rows of which a share is the mean, each from 0 to 1; None for another measure."""
    if measure is None or not measure.is_share:
        return None
    values = _by_row(measure.name, models)
    known = values[~np.isnan(values)]
    is_mean = known.size and abs(known.mean() - value) < 1e-9
    return known if is_mean and known.min() >= 0 and known.max() <= 1 else None


def _gained(measure: Measure | None, value: float, first: Models, second: Models) -> np.ndarray | None:
    """What each row has more in `second`; None unless the measure is the mean of shares, and every row has one in both."""
    if measure is None or not measure.is_share:
        return None
    gained = _by_row(measure.name, second) - _by_row(measure.name, first)
    complete = not np.isnan(gained).any()
    return gained if complete and np.abs(gained).max() <= 1 and abs(gained.mean() - value) < 1e-9 else None


def _by_row(name: str, models: Models) -> np.ndarray:
    """The value of each row, of several models the mean; not a number where one of them has none."""
    return np.mean([[row.values.get(name, np.nan) for row in rows] for rows in models], axis=0)


def _with_length(found: Interval) -> Interval:
    """`found`, without its ends where these are one value."""
    return found if found.low != found.high else Interval(found.value, None, None)
