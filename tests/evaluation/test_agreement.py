"""Agreement of two judges, against scipy and scikit-learn."""

import numpy as np
import pytest
from scipy.stats import spearmanr
from sklearn.metrics import cohen_kappa_score

from fedloom.evaluation.agreement import kappa, spearman, within


def test_correlation_and_kappa_are_those_of_scipy_and_scikit_learn():
    stream = np.random.default_rng(0)
    first, second = stream.integers(1, 11, 60).astype(float), stream.integers(1, 11, 60).astype(float)
    counts = stream.integers(0, 4, 60).astype(float)
    again = np.repeat(np.arange(60), counts.astype(int))
    assert spearman(first, second, counts) == pytest.approx(spearmanr(first[again], second[again]).statistic)
    assert kappa(first // 4, second // 4, counts) == pytest.approx(cohen_kappa_score(first[again] // 4, second[again] // 4))


def test_scores_a_point_apart_agree():
    assert within(np.array([1.0, 5.0, 9.0]), np.array([2.0, 7.0, 9.0]), np.array([1.0, 2.0, 1.0])) == 0.5


def test_where_nothing_varies_there_is_no_correlation():
    same, ones = np.array([5.0, 5.0]), np.ones(2)
    assert spearman(same, np.array([1.0, 2.0]), ones) is None
    assert kappa(same, same, ones) is None
    assert within(same, same, np.zeros(2)) is None
