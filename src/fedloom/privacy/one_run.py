"""One-run auditing: a lower bound on epsilon from one model and its canaries (Steinke, Nasr and Jagielski 2023, arXiv 2305.08846).

Each of m canaries was trained on by a fair coin of its own. Whoever is asked which ones, and may abstain, is right more often than by
chance only as far as epsilon allows.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

GUESSES = (1.0, 0.5, 0.25, 0.1, 0.05)
"""Shares of the canaries that are guessed, fixed before anything is looked at: few guesses are surer, many bound more."""

ERROR = 0.05
"""The probability with which a bound may be too high: confidence 95%."""

DELTA = 1e-5
"""The delta of the bounds of a run that promises nothing itself."""

STEPS = 30
"""Halvings of the interval that a bound is looked for in."""


@dataclass(frozen=True)
class Bound:
    """`epsilon` is exceeded with 95% confidence by what was audited. It follows from `right` of `guesses` guesses on `canaries`."""

    epsilon: float
    canaries: int
    guesses: int
    right: int


@dataclass(frozen=True)
class Coins:
    """The canaries of one client: (m,) `scores`, higher for what is more likely a member, and (m,) whether each was `inserted`."""

    scores: np.ndarray
    inserted: np.ndarray


def audited(clients: Mapping[str, Coins], delta: float, error: float = ERROR) -> tuple[Bound, dict[str, Bound]]:
    """The largest bound, and that of each client.

    A run that protects the rows of every client by epsilon protects those of all, so that their canaries can be judged together as well as
    by client. Half of the `error` is spent on all together, the other half in equal parts on the clients, so that all bounds hold at once.
    """
    if len(clients) == 1:
        own = {name: one_run(coins, delta, error) for name, coins in clients.items()}
        return next(iter(own.values())), own
    pooled = Coins(*(np.concatenate([getattr(coins, part) for coins in clients.values()]) for part in ("scores", "inserted")))
    own = {name: one_run(coins, delta, error / 2 / len(clients)) for name, coins in clients.items()}
    return max(one_run(pooled, delta, error / 2), *own.values(), key=lambda bound: bound.epsilon), own


def one_run(coins: Coins, delta: float, error: float) -> Bound:
    """The largest bound over the `GUESSES`, each with an equal part of `error` (Bonferroni). With r guesses, the r/2 highest scores are
    guessed to be members, and the r/2 lowest not to be; of an odd number of canaries, one is never guessed."""
    order, m = np.argsort(-coins.scores, kind="stable"), len(coins.scores)
    found = []
    for share in GUESSES:
        half = max(1, min(round(share * m / 2), m // 2))
        right = int(coins.inserted[order[:half]].sum() + (~coins.inserted[order[m - half :]]).sum())
        found.append(Bound(epsilon_lower(m, 2 * half, right, delta, error / len(GUESSES)), m, 2 * half, right))
    return max(found, key=lambda bound: bound.epsilon)


def ceiling(canaries: int, delta: float, clients: int = 1, error: float = ERROR) -> float:
    """The largest bound that so many canaries, of all clients together, can give: every guess is right."""
    together = error if clients == 1 else error / 2
    return epsilon_lower(canaries, canaries, canaries, delta, together / len(GUESSES))


def epsilon_lower(m: int, r: int, v: int, delta: float, error: float) -> float:
    """The largest epsilon at which v right guesses of r, on m canaries, have a probability below `error`; 0: there is none."""
    if p_value(m, r, v, 0.0, delta) >= error:
        return 0.0
    low, high = 0.0, 1.0
    while p_value(m, r, v, high, delta) < error:
        low, high = high, high + 1
    for _ in range(STEPS):
        middle = (low + high) / 2
        low, high = (middle, high) if p_value(m, r, v, middle, delta) < error else (low, middle)
    return low


def p_value(m: int, r: int, v: int, epsilon: float, delta: float) -> float:
    """The most that (epsilon, delta)-differential privacy lets the probability of v or more right guesses of r be (corollary 5.4):

    P[W >= v] + 2 m delta max_i P[v > W >= v - i] / i, where W is Binomial(r, e^epsilon / (1 + e^epsilon)) and i from 1 to v.
    """
    shares = _binomial(r, epsilon)
    within = np.cumsum(shares[:v][::-1]) / np.arange(1, v + 1)
    return min(1.0, float(shares[v:].sum() + 2 * m * delta * within.max(initial=0.0)))


def _binomial(r: int, epsilon: float) -> np.ndarray:
    """(r + 1,): P[W = k] of W from Binomial(r, e^epsilon / (1 + e^epsilon))."""
    logs = np.concatenate([[0.0], np.cumsum(np.log(np.arange(1, r + 1)))])
    right, wrong = -math.log1p(math.exp(-epsilon)), -epsilon - math.log1p(math.exp(-epsilon))
    k = np.arange(r + 1)
    found: np.ndarray = np.exp(logs[r] - logs - logs[::-1] + k * right + (r - k) * wrong)
    return found
