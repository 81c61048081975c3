"""Intervals of what suites measure: by formula where draws know too little, and no models told apart by a few rows."""

import pytest
from scipy.stats import binomtest

from fedloom.evaluation.intervals import Interval, bonett_price, bootstrap, wilson
from fedloom.evaluation.suite import Scored, Suite, mean_of, total_of
from fedloom.evaluation.suite_intervals import differences, intervals, p_value
from fedloom.measures import SHARE, Measure, counted


class Marked(Suite):
    """Answers that are right or wrong, their F1, a judge's score, and how many could not be read."""

    measures = (
        Measure("right", "right", SHARE, "higher"),
        Measure("f1", "F1", SHARE, "higher"),
        Measure("score", "score", "", "higher"),
        counted("unread", "unread"),
    )

    def summary(self, rows, counts):
        return {**super().summary(rows, counts), "unread": total_of("unread", rows, counts)}


def rows(right, f1=0.5, score=5.0):
    """The rows of a system with one model."""
    return [[Scored(str(place), {"right": float(one), "f1": f1, "score": score, "unread": 1.0}) for place, one in enumerate(right)]]


def measured(models):
    return intervals(Marked(), Marked.measures, models)


def gained(first, second):
    return differences(Marked(), Marked.measures, first, second)


def test_one_row_leaves_nearly_all_open():
    found = measured(rows([1]))
    exact = binomtest(1, 1).proportion_ci(method="wilson")
    assert (found["right"].low, found["right"].high) == pytest.approx((exact.low, exact.high))
    assert found["right"].low < 0.25
    assert found["f1"] == Interval(0.5, *wilson(0.5, 1))
    assert found["score"] == Interval(5.0, None, None)


def test_rows_that_are_all_right_have_an_interval_and_counts_have_none():
    found = measured(rows([1] * 200))
    assert found["right"] == Interval(1.0, *wilson(200, 200))
    assert found["unread"] == Interval(200.0, None, None)


def test_many_rows_that_differ_have_the_bootstrap():
    many = rows([1, 0, 0] * 30)
    assert measured(many)["right"] == bootstrap(lambda counts: {"right": mean_of("right", *many, counts)}, 90)["right"]


def test_fewer_than_ten_rows_tell_no_models_apart():
    (one,) = (gained(rows([0]), rows([1]))["right"],)
    assert one.value == 1.0
    assert (one.low, one.high) == bonett_price(1, 0, 1)
    assert not one.told_apart
    nine = gained(rows([0] * 9), rows([1] * 9))["right"]
    assert not nine.holds_zero
    assert not nine.told_apart
    assert gained(rows([0] * 10), rows([1] * 10))["right"].told_apart


def test_what_mcnemars_test_does_not_tell_apart_is_not_told_apart():
    first, second = [0] * 5 + [1] * 45, [1] * 50
    assert binomtest(0, 5).pvalue == 0.0625
    found = gained(rows(first), rows(second))["right"]
    assert not found.holds_zero
    assert not found.told_apart
    assert gained(rows([0] * 6 + [1] * 44), rows(second))["right"].told_apart


def test_differences_that_are_all_alike_have_an_interval_or_none_and_never_one_without_length():
    found = gained(rows([1, 0] * 50), rows([1, 0] * 50))
    assert (found["right"].low, found["right"].high) == bonett_price(0, 0, 100)
    assert found["score"].low is None
    assert not any(one.told_apart for one in found.values())


def test_of_several_models_the_mean_counts_on_the_same_draws_of_rows():
    first, second = [1, 0, 0, 1] * 30, [1, 1, 0, 0] * 30
    several, means = rows(first) + rows(second), rows([1, 0.5, 0, 0.5] * 30)
    found, alone = measured(several)["right"], measured(means)["right"]
    assert found.value == 0.5
    assert (found.low, found.high) == pytest.approx((alone.low, alone.high))
    more = gained(several, rows([1] * 120))["right"]
    assert more.value == 0.5
    assert more.told_apart


def test_few_rows_of_several_models_have_the_formula_of_their_means():
    several = rows([1, 0, 0, 1]) + rows([1, 1, 0, 0])
    assert measured(several)["right"] == Interval(0.5, *wilson(2, 4))
    assert p_value("right", several, rows([1, 1, 1, 1])) is None  # a mean of 0.5 is neither right nor wrong
    assert p_value("right", rows([0, 1]) * 2, rows([1, 1])) == 1.0
