"""Length-controlled win rates (Dubois et al. 2024, arXiv 2404.04475): how often a model would win if its answers were as long as those
that it is compared with."""

from __future__ import annotations

import numpy as np

RIDGE = 0.01
"""On the weights of length and difficulty: without it they are not finite where length alone decides. For all rows together."""

LEAST_RIDGE = 1e-6
"""On the model's own weight, so that it is finite where all rows are won."""

STEPS = 50


def length_controlled(wins: np.ndarray, longer: np.ndarray, difficulty: np.ndarray | None, counts: np.ndarray) -> float:
    """The length-controlled win rate. `wins` in 0..1, `longer` the characters by which the model's answer exceeds the other, row i standing
    `counts[i]` times; each (rows,).

    The generalised linear model of the paper, for one model m and one baseline b: logit p(m is better | x) is
    theta + phi tanh(d / std(d)) + psi gamma_x, d being `longer` and gamma_x the `difficulty` of the instruction; the win rate is the mean
    of p with d = 0. gamma_x is fitted over many models at once and cannot be had from one: without `difficulty` its term is left out.
    theta, phi and psi are fitted by logistic regression on `wins` as they are, with a small ridge in place of the released code's L1
    penalty, cross-validation and made-up baselines.
    """
    own = np.ones(len(wins))
    terms = [own, np.tanh(longer / spread) if (spread := _deviation(longer, counts)) else np.zeros(len(wins))]
    if difficulty is not None:
        terms.append(difficulty)
    weights = _logistic_regression(np.stack(terms, 1), wins, counts)
    without_length = weights[0] + (weights[2] * difficulty if difficulty is not None else 0.0) * own
    return float(np.average(_logistic(without_length), weights=counts))


def _logistic_regression(x: np.ndarray, y: np.ndarray, counts: np.ndarray) -> np.ndarray:
    """The weights that minimise the cross entropy of `y` in 0..1 with a ridge, by Newton's method; the first one's is the least."""
    ridge = np.array([LEAST_RIDGE] + [RIDGE] * (x.shape[1] - 1))
    weights = np.zeros(x.shape[1])
    for _ in range(STEPS):
        p = _logistic(x @ weights)
        gradient = x.T @ (counts * (p - y)) + ridge * weights
        step = np.linalg.solve((x.T * (counts * p * (1 - p))) @ x + np.diag(ridge), gradient)
        weights -= np.clip(step, -2.0, 2.0)
        if np.abs(step).max() < 1e-9:
            break
    return weights


def _logistic(x: np.ndarray) -> np.ndarray:
    return np.asarray(np.exp(-np.logaddexp(0, -x)))


def _deviation(values: np.ndarray, counts: np.ndarray) -> float:
    """The standard deviation of the rows, of a sample."""
    total = counts.sum()
    mean = np.average(values, weights=counts)
    return float(np.sqrt(counts @ (values - mean) ** 2 / max(total - 1, 1)))
