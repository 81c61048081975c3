"""Length-controlled win rates on data made by hand."""

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression

from fedloom.evaluation.length_control import length_controlled


def rate(wins, longer, difficulty=None, counts=None):
    wins, longer = np.asarray(wins, float), np.asarray(longer, float)
    return length_controlled(wins, longer, difficulty, np.ones(len(wins)) if counts is None else counts)


def test_with_answers_of_equal_length_it_is_the_raw_win_rate():
    assert rate([1, 1, 0.5, 0, 0.5, 1], [0] * 6) == pytest.approx(4 / 6, abs=1e-6)
    assert rate([1, 1, 1], [7, 7, 7]) == pytest.approx(1.0, abs=1e-5)
    assert rate([0, 0, 0], [0, 0, 0]) == pytest.approx(0.0, abs=1e-5)


def test_a_judge_who_goes_by_length_alone_gives_half_however_often_the_model_is_longer():
    stream = np.random.default_rng(0)
    longer = np.concatenate([stream.integers(1, 800, 600), -stream.integers(1, 800, 205)])
    wins = 1 / (1 + np.exp(-3 * np.tanh(longer / longer.std(ddof=1))))
    assert wins.mean() > 0.66
    assert rate(wins, longer) == pytest.approx(0.5, abs=0.001)


def test_where_the_longer_answer_always_wins_and_each_is_longer_as_often_it_is_half():
    assert rate([1, 0, 1, 0, 1, 0], [5, -5, 80, -80, 300, -300]) == pytest.approx(0.5, abs=1e-6)


def test_a_better_model_stays_better_when_its_answers_are_long():
    stream = np.random.default_rng(1)
    longer = stream.normal(300, 200, 4000)
    sure = 1.0 + 1.5 * np.tanh(longer / longer.std(ddof=1))
    wins = (stream.random(4000) < 1 / (1 + np.exp(-sure))).astype(float)
    assert wins.mean() > 0.85
    assert rate(wins, longer) == pytest.approx(1 / (1 + np.exp(-1.0)), abs=0.03)


def test_the_fit_is_the_ridge_of_scikit_learn_with_and_without_difficulty():
    stream = np.random.default_rng(2)
    longer, difficulty = stream.normal(50, 100, 300), stream.normal(0, 1, 300)
    wins = (stream.random(300) < 1 / (1 + np.exp(-(0.3 + longer / 100 - difficulty)))).astype(float)
    length = np.tanh(longer / longer.std(ddof=1))
    alone = LogisticRegression(C=100.0, tol=1e-10, max_iter=1000).fit(length[:, None], wins)
    assert rate(wins, longer) == pytest.approx(1 / (1 + np.exp(-alone.intercept_[0])), abs=1e-5)
    both = LogisticRegression(C=100.0, tol=1e-10, max_iter=1000).fit(np.stack([length, difficulty], 1), wins)
    expected = (1 / (1 + np.exp(-(both.intercept_[0] + both.coef_[0, 1] * difficulty)))).mean()
    assert rate(wins, longer, difficulty) == pytest.approx(expected, abs=1e-5)


def test_a_row_that_stands_twice_counts_twice():
    wins, longer = np.array([1.0, 0.0, 0.5, 1.0]), np.array([5.0, -3.0, 9.0, -1.0])
    counts = np.array([2.0, 1.0, 0.0, 3.0])
    again = np.repeat(np.arange(4), counts.astype(int))
    assert rate(wins, longer, counts=counts) == pytest.approx(rate(wins[again], longer[again]), abs=1e-9)
