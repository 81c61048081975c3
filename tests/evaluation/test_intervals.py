"""Bootstrap intervals and McNemar's test, against scipy and numbers computed by hand."""

from functools import partial

import numpy as np
import pytest
from scipy.stats import bootstrap as scipy_bootstrap

from fedloom.evaluation.intervals import bonett_price, bootstrap, bootstrap_difference, mcnemar, wilson
from fedloom.evaluation.suite import Scored, Suite, mean_of
from fedloom.measures import SHARE, Measure


def rows(values, name="right"):
    return [Scored(str(place), {} if value is None else {name: value}) for place, value in enumerate(values)]


def shares(values):
    return lambda counts: {"right": mean_of("right", rows(values), counts)}


def test_a_value_that_is_not_there_is_in_no_mean():
    assert mean_of("right", rows([1.0, None, 0.0]), np.array([1.0, 5.0, 3.0])) == 0.25
    assert mean_of("right", rows([None]), np.ones(1)) is None


def test_the_interval_is_the_percentile_interval_of_scipy():
    values = (np.arange(200) % 3 == 0).astype(float)
    oracle = scipy_bootstrap((values,), np.mean, method="percentile", n_resamples=20_000, rng=0).confidence_interval
    (found,) = bootstrap(shares(values), 200).values()
    assert found.value == values.mean()
    assert (found.low, found.high) == pytest.approx((oracle.low, oracle.high), abs=0.012)


def test_the_interval_leaves_two_and_a_half_per_cent_out_at_each_end():
    """Of three rows with two right a draw has none right with 1/27 = 3.7%: more than 2.5%, and less than the 5% of an interval of 90%."""
    (found,) = bootstrap(shares([1.0, 1.0, 0.0]), 3).values()
    assert (found.low, found.high) == (0.0, 1.0)


def test_draws_of_rows_that_are_all_alike_know_no_spread():
    (found,) = bootstrap(shares([1.0] * 20), 20).values()
    assert (found.value, found.low, found.high) == (1.0, 1.0, 1.0)


def test_two_models_are_compared_on_the_same_draws():
    first = np.tile([1.0, 0.0, 1.0, 1.0], 25)
    (same,) = bootstrap_difference(shares(first), shares(first), 100).values()
    assert (same.value, same.low, same.high) == (0.0, 0.0, 0.0)  # apart, each alone would vary by ±.09
    second = first.copy()
    second[::4] = 0.0
    (found,) = bootstrap_difference(shares(first), shares(second), 100).values()
    assert found.value == pytest.approx(0.25)
    assert 0.16 < found.low < 0.19
    assert 0.31 < found.high < 0.35
    assert not found.holds_zero


@pytest.mark.parametrize(("right", "rows"), [(0, 1), (1, 1), (3, 7), (20, 20), (999, 1319)])
def test_the_interval_of_a_share_is_wilsons_as_scipy_has_it(right, rows):
    from scipy.stats import binomtest

    assert wilson(right, rows) == pytest.approx(tuple(binomtest(right, rows).proportion_ci(method="wilson")))


@pytest.mark.parametrize(("won", "lost"), [(0.3, 0.1), (0.2, 0.2), (0.05, 0.02)])
def test_the_interval_of_a_difference_holds_it_in_19_of_20_sets_of_rows(won, lost):
    """Over all results that ten rows can have, each by its probability."""
    from scipy.stats import multinomial

    covered, rows = 0.0, 10
    for ahead in range(rows + 1):
        for behind in range(rows + 1 - ahead):
            low, high = bonett_price(ahead, behind, rows)
            if low <= won - lost <= high:
                covered += multinomial.pmf([ahead, behind, rows - ahead - behind], rows, [won, lost, 1 - won - lost])
    assert covered > 0.95
    assert bonett_price(1, 0, 1) == pytest.approx((1 / 3 - 1.959964 * (8 / 27) ** 0.5, 1.0))


def test_mcnemar_is_the_two_sided_binomial_test_of_the_rows_that_differ():
    from scipy.stats import binomtest

    first, second = [1.0] * 9 + [0.0] * 3 + [1.0] * 20, [0.0] * 9 + [1.0] * 3 + [1.0] * 20
    assert mcnemar(first, second) == pytest.approx(binomtest(3, 12).pvalue)
    assert mcnemar(first, second) == pytest.approx(2 * (1 + 12 + 66 + 220) / 2**12)
    assert mcnemar(first, first) == 1.0


def test_a_suites_summary_is_the_mean_over_rows_unless_it_says_otherwise():
    class Shares(Suite):
        measures = (Measure("right", "right", SHARE, "higher"), Measure("absent", "absent"))

    found = bootstrap(partial(Shares().summary, rows([1.0, 0.0, 0.0, 1.0])), 4)
    assert {name: interval.value for name, interval in found.items()} == {"right": 0.5}
