"""The lower bound on epsilon from one run: the published values, its ceiling, false alarms, and faults of training that it must see."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import pytest
import torch
from torch import nn

from fedloom.algorithms import ClientHalf
from fedloom.models.flat import FlatParameters
from fedloom.privacy import noise_multiplier
from fedloom.privacy.gradients import PrivateGradients
from fedloom.privacy.one_run import DELTA, ERROR, Coins, audited, ceiling, epsilon_lower, one_run, p_value
from fedloom.tasks.base import LossPart, Task
from fedloom.tasks.row_losses import row_losses
from fedloom.tasks.training import train

PUBLISHED = [((1000, 100, 75, 1e-4), 0.673), ((100_000, 1510, 1439, 1e-5), 2.675)]
"""(m, r, v, delta) -> epsilon with 95% confidence: arXiv 2305.08846v1, appendix D and section 7 (figure 11)."""

ORACLE = [
    ((100, 25, math.log(3)), 0.5534708238482475),
    ((500, 0, 4.0), 0.00011449676840505959),
    ((250, 40, 1.0), 3.1005190099485556e-05),
    ((50, 2, 2.5), 0.2586308132496733),
    ((1000, 480, 0.0), 0.10872414660207075),
]
"""(guesses, wrong ones, epsilon) -> p-value at delta 0: what `_p_value` of opake-auditing 0.16.1 gives."""


@pytest.mark.parametrize(("audit", "expected"), PUBLISHED)
def test_the_bound_is_the_published_one(audit, expected):
    assert epsilon_lower(*audit, error=0.05) == pytest.approx(expected, abs=1e-3)


@pytest.mark.parametrize(("guessed", "expected"), ORACLE)
def test_without_delta_the_p_value_is_that_of_another_program(guessed, expected):
    guesses, wrong, epsilon = guessed
    assert p_value(guesses, guesses, guesses - wrong, epsilon, 0.0) == pytest.approx(expected, rel=1e-9)


def test_the_p_value_of_three_guesses_is_that_worked_out_by_hand():
    """Two right of three at epsilon ln 3, so that each is right with probability 3/4. P[W >= 2] = 27/64 + 27/64; P[W = 1] = 9/64 and
    P[W = 0] = 1/64, so that the largest P[2 > W >= 2 - i] / i is 9/64 at i = 1, and 2 m delta = 0.06 for m = 3."""
    assert p_value(3, 3, 2, math.log(3), 0.01) == pytest.approx(54 / 64 + 0.06 * 9 / 64)


def test_so_many_canaries_can_show_so_much_at_the_most():
    assert [round(ceiling(m, 1e-5), 2) for m in (100, 200, 500, 1000)] == [3.05, 3.75, 4.65, 5.32]
    assert ceiling(500, 1e-5, clients=2) < ceiling(500, 1e-5)
    assert max(ceiling(m, 1e-3) for m in (100, 500, 2000)) < 2, "a large delta hides much"


def told_apart(m, by, seed):
    """Coins, and scores that are `by` standard deviations higher for members."""
    stream = np.random.default_rng(seed)
    inserted = stream.random(m) < 0.5
    return Coins(stream.normal(size=m) + by * inserted, inserted)


def test_scores_of_chance_raise_a_false_alarm_in_at_most_one_of_twenty_runs():
    """Of one client and of several, whose bounds are looked at together."""
    alone = [audited({"a": told_apart(100, 0, seed)}, DELTA)[0].epsilon > 0 for seed in range(400)]
    several = [audited({str(i): told_apart(40, 0, 9 * seed + i) for i in range(4)}, DELTA)[0].epsilon > 0 for seed in range(200)]
    assert np.mean(alone) <= ERROR
    assert np.mean(several) <= ERROR


def test_the_bound_stays_below_what_randomised_answers_allow():
    """Each coin is told truly with probability e^2 / (1 + e^2): epsilon is 2 exactly. Fewer than one run in twenty may exceed it."""

    def answers(seed):
        stream = np.random.default_rng(seed)
        inserted = stream.random(300) < 0.5
        return Coins(np.where(stream.random(300) < 1 / (1 + math.exp(-2)), inserted, ~inserted).astype(float), inserted)

    found = [one_run(answers(seed), 0.0, ERROR).epsilon for seed in range(60)]
    assert np.mean(np.array(found) > 2) <= ERROR
    assert np.mean(found) > 1


@pytest.mark.parametrize("m", [20, 23, 27])
def test_no_canary_is_guessed_both_ways(m):
    """Of an odd number, the one in the middle is guessed neither to be a member nor not to be one."""
    inserted = np.arange(m) % 2 == 0
    found = one_run(Coins(inserted.astype(float), inserted), DELTA, ERROR)
    assert (found.guesses, found.right) == (m - m % 2, m - m % 2)


def test_a_client_that_leaks_is_found_among_those_that_do_not():
    clients = {str(i): told_apart(200, 6 * (i == 2), i) for i in range(6)}
    best, own = audited(clients, DELTA)
    assert best.epsilon == max(own.values(), key=lambda bound: bound.epsilon).epsilon == own["2"].epsilon > 2
    assert all(bound.epsilon < 1 for name, bound in own.items() if name != "2")
    together = audited({str(i): told_apart(60, 3, i) for i in range(6)}, DELTA)[0]
    assert together.canaries == 360, "where all leak alike, all together show more than one"


@dataclass(frozen=True)
class Apart(Task):
    """Row i has the loss -8 w_i: its gradient is its own, and of norm 8."""

    def losses(self, model, rows, indices):
        each = -8 * model.w[[rows[i] for i in indices]]
        yield LossPart(each.mean(), len(indices), lambda: each, list(indices))


class Vector(nn.Module):
    def __init__(self, size):
        super().__init__()
        self.w = nn.Parameter(torch.zeros(size))


CANARIES, STEPS, RATE = 400, 50, 0.1


def trained(noise, seed):
    """The coins of canaries of which the inserted ones were trained on by `PrivateGradients`."""
    inserted = np.random.default_rng(seed).random(CANARIES) < 0.5
    rows, model = np.flatnonzero(inserted).tolist(), Vector(CANARIES)
    parameters = FlatParameters(model)
    task = Apart(optimizer="sgd", steps=STEPS)
    gradients = PrivateGradients(1.0, noise, RATE, round(RATE * len(rows)), np.random.default_rng(1000 + seed))
    start = parameters.state()
    train(model, parameters, task, rows, gradients.draw(len(rows), task), 0.1, ClientHalf(start, {}, {}), 0, gradients=gradients)
    return Coins(-row_losses(model, task, list(range(CANARIES))).numpy(), inserted)


@pytest.fixture(scope="module")
def noise():
    return {epsilon: noise_multiplier(epsilon=epsilon, sample_rate=RATE, steps=STEPS, delta=DELTA) for epsilon in (1.0, 2.0)}


def no_clipping(patch):
    patch.setattr("fedloom.privacy.gradients.BELOW", 1e6)


def noise_once(patch):
    drawn, first = PrivateGradients._noise, []

    def once(self, like):
        first.append(drawn(self, like))
        return first[-1] if len(first) == 1 else torch.zeros_like(like)

    patch.setattr(PrivateGradients, "_noise", once)


def all_rows(patch):
    patch.setattr(PrivateGradients, "draw", lambda self, rows, task: [[list(range(rows))]] * task.steps)


@pytest.mark.parametrize("fault", [no_clipping, noise_once, all_rows])
def test_a_fault_of_private_training_is_seen(fault, noise, monkeypatch):
    fault(monkeypatch)
    assert one_run(trained(noise[2.0], seed=0), DELTA, ERROR).epsilon > 2.0


@pytest.mark.parametrize("epsilon", [1.0, 2.0])
def test_private_training_as_it_should_be_stays_below_its_epsilon(epsilon, noise):
    found = [one_run(trained(noise[epsilon], seed), DELTA, ERROR).epsilon for seed in range(3)]
    assert max(found) < epsilon
