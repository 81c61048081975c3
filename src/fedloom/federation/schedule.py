"""The learning rate of a round."""

from __future__ import annotations

from math import cos, pi

from fedloom.tasks import Task


def learning_rate(task: Task, round_number: int, rounds: int) -> float:
    """lr_t = lr_min + (lr_0 - lr_min)(1 + cos(pi t/T))/2 with t = `round_number` - 1 and T = `rounds`; constant within a round."""
    if task.schedule == "constant":
        return task.learning_rate
    share = (1 + cos(pi * (round_number - 1) / rounds)) / 2
    return task.min_learning_rate + (task.learning_rate - task.min_learning_rate) * share
