"""Numbers with a wanted mean and deviation."""

import numpy as np
import pytest

from fedloom.bench.drawing import skewed, whole_sizes
from fedloom.bench.published import Moments


@pytest.mark.parametrize(("mean", "deviation", "least"), [(116, 199, 12.0), (331, 435, 4.0), (26, 33, 2.0)])
@pytest.mark.parametrize("count", [50, 5000])
def test_few_numbers_and_many_have_the_wanted_moments_and_none_is_below_the_least(mean, deviation, least, count):
    found = skewed(np.random.default_rng(1).random(count), Moments(mean, deviation), least)
    assert found.min() >= least
    assert (found.mean(), found.std()) == (pytest.approx(mean, rel=1e-3), pytest.approx(deviation, rel=1e-3))


def test_the_order_says_which_number_is_larger():
    found = skewed(np.array([0.3, 0.1, 0.9, 0.2]), Moments(10, 5), 0.0)
    assert np.argsort(found).tolist() == [1, 3, 0, 2]


def test_without_a_bound_the_numbers_are_log_normal_quantiles():
    found = skewed(np.arange(9.0), Moments(20, 10), 0.0)
    logs = np.log(found)
    assert logs[4] == pytest.approx(np.median(logs))
    assert logs[8] - logs[4] == pytest.approx(logs[4] - logs[0])  # symmetric about the median


@pytest.mark.parametrize("total", [100, 101, 137, 20])
def test_whole_sizes_have_the_sum_exactly(total):
    sizes = whole_sizes(np.random.default_rng(2).random(10), total, 6.0, least=2)
    assert sizes.sum() == total
    assert sizes.min() >= 2
