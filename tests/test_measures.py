"""Measures: how a value is shown, which is the best, what is a change for the worse, and how a manifest keeps the declaration."""

import json
import math

import pytest

from fedloom.measures import SHARE, Measure

LOSS = Measure("loss", "held-out loss", "nats")
ACCURACY = Measure("accuracy", "accuracy", SHARE, "higher", alert=0.1, note="The share of rows that are right.")
KEPT = Measure("kept", "rows kept", "count", "neither")


@pytest.mark.parametrize(
    ("measure", "value", "shown"),
    [
        (ACCURACY, 0.5, "50.0%"),
        (ACCURACY, 1.0, "100.0%"),
        (LOSS, 1.23456, "1.235"),
        (LOSS, -0.5, "-0.500"),
        (LOSS, 999.9, "999.900"),
        (LOSS, 12345.6, "12,346"),
        (KEPT, 1234.0, "1,234"),
        (LOSS, None, "–"),
        (LOSS, math.nan, "not finite"),
        (ACCURACY, math.inf, "not finite"),
    ],
)
def test_a_value_is_shown_by_its_unit(measure, value, shown):
    assert measure.shown(value) == shown


@pytest.mark.parametrize(("measure", "best"), [(LOSS, 0.25), (ACCURACY, 0.75), (KEPT, None)])
def test_the_best_of_several_values_is_by_the_direction_and_only_of_finite_ones(measure, best):
    assert measure.best([0.5, None, 0.75, math.nan, 0.25, math.inf, -math.inf]) == best
    assert measure.best([None, math.nan]) is None
    assert measure.best([]) is None


@pytest.mark.parametrize(("measure", "worst"), [(LOSS, 0.75), (ACCURACY, 0.25), (KEPT, None)])
def test_the_worst_is_the_best_in_the_other_direction(measure, worst):
    assert measure.worst([0.5, None, 0.75, math.nan, 0.25]) == worst


def test_counts_and_seconds_of_clients_add_up_and_all_else_is_their_mean():
    assert KEPT.of_all([2.0, 4.0]) == Measure("seconds", "seconds of writing", "s").of_all([2.0, 4.0]) == 6.0
    assert ACCURACY.of_all([0.25, 0.75]) == LOSS.of_all([0.25, 0.75]) == 0.5


def test_a_change_for_the_worse_is_one_of_the_alerts_size_in_the_measures_direction():
    assert ACCURACY.worsened(0.3, 0.2)
    assert not ACCURACY.worsened(0.3, 0.225)
    assert not ACCURACY.worsened(0.2, 0.9)
    lower = Measure("harm", "harm", SHARE, "lower", alert=0.1)
    assert lower.worsened(0.2, 0.3)
    assert not lower.worsened(0.3, 0.1)


def test_without_an_alert_or_a_direction_nothing_is_a_change_for_the_worse():
    assert not LOSS.worsened(0.0, 9.0)
    assert not Measure("cost", "cost", better="neither", alert=0.1).worsened(0.0, 9.0)


def test_a_measure_under_another_name_is_the_same_in_all_else():
    again = ACCURACY.named("mine/accuracy", "accuracy (mine)")
    assert (again.name, again.title) == ("mine/accuracy", "accuracy (mine)")
    assert again.named("accuracy", "accuracy") == ACCURACY
    assert ACCURACY.named("mine/accuracy").title == "accuracy"


@pytest.mark.parametrize("measure", [LOSS, ACCURACY, KEPT], ids=lambda measure: measure.name)
def test_a_declaration_comes_back_out_of_a_manifest(measure):
    assert Measure.from_plain(json.loads(json.dumps(measure.plain()))) == measure


def test_a_declaration_of_another_version_is_read_as_far_as_it_is_known():
    assert Measure.from_plain({"name": "loss", "title": "held-out loss", "unit": "nats", "colour": "red"}) == LOSS
