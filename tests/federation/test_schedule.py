"""The learning rate of a round."""

import pytest

from fedloom.federation.schedule import learning_rate
from fedloom.tasks.base import Task


def test_three_rounds_follow_a_cosine_by_hand():
    # cos 0 = 1, cos(pi/3) = 1/2, cos(2 pi/3) = -1/2: shares 1, 3/4, 1/4 of what lies between 0.1 and 0.9
    task = Task(learning_rate=0.9, min_learning_rate=0.1)
    assert [learning_rate(task, number, 3) for number in (1, 2, 3)] == pytest.approx([0.9, 0.7, 0.3])


def test_a_constant_rate_stays():
    task = Task(learning_rate=0.9, min_learning_rate=0.1, schedule="constant")
    assert [learning_rate(task, number, 3) for number in (1, 2, 3)] == [0.9] * 3


def test_the_rate_falls_from_the_first_to_above_the_least():
    task = Task(learning_rate=5e-5, min_learning_rate=1e-6)
    rates = [learning_rate(task, number, 200) for number in range(1, 201)]
    assert rates[0] == 5e-5
    assert rates == sorted(rates, reverse=True)
    assert 1e-6 < rates[-1] < 1.01e-6
