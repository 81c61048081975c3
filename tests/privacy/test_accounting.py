"""Epsilon of noised sums: published figures, three accountants held to each other, and what is refused."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import brentq
from scipy.stats import norm

from fedloom.errors import RecipeError
from fedloom.privacy import epsilon, noise_multiplier
from fedloom.privacy.accounting import Event, solved, spent


def test_known_settings_have_their_known_epsilon():
    assert epsilon(noise_multiplier=1.1, sample_rate=0.01, steps=1000, delta=1e-5) == pytest.approx(1.515, abs=2e-3)
    assert epsilon(noise_multiplier=1.1, sample_rate=0.01, steps=1000, delta=1e-5, accountant="rdp") == pytest.approx(1.712, rel=0.01)


def test_one_sum_over_all_rows_has_the_closed_form_of_the_gaussian_mechanism():
    def delta_of(eps: float, sigma: float) -> float:  # Balle and Wang 2018, theorem 8, with sensitivity 1
        return norm.cdf(1 / (2 * sigma) - eps * sigma) - math.exp(eps) * norm.cdf(-1 / (2 * sigma) - eps * sigma)

    for sigma in (0.7, 1.5, 4.0):
        exact = brentq(lambda eps, sigma=sigma: delta_of(eps, sigma) - 1e-5, 0, 50)
        found = epsilon(noise_multiplier=sigma, sample_rate=1.0, steps=1, delta=1e-5)
        assert exact <= found <= exact + 2e-3
        # ten sums with noise sqrt(10) sigma are one with noise sigma
        assert epsilon(noise_multiplier=sigma * math.sqrt(10), sample_rate=1.0, steps=10, delta=1e-5) == pytest.approx(exact, abs=5e-3)


@pytest.mark.parametrize(("sigma", "rate", "steps"), [(0.8, 0.02, 200), (1.1, 0.01, 1000), (3.0, 0.3, 50), (1.0, 1.0, 3)])
def test_prv_agrees_with_pld_and_renyi_lies_above_both(sigma, rate, steps):
    pld, rdp, prv = (
        epsilon(noise_multiplier=sigma, sample_rate=rate, steps=steps, delta=1e-5, accountant=accountant)
        for accountant in ("pld", "rdp", "prv")
    )
    assert pld == pytest.approx(prv, abs=0.015)
    assert pld < rdp < 1.35 * pld


def test_noise_is_solved_for_all_steps_and_not_for_those_of_a_round():
    """The published mistake: noise for the 10 steps of a round, 1,000 taken. Its nominal 20 is 170."""
    for_a_round = epsilon(noise_multiplier=0.2, sample_rate=0.01, steps=10, delta=1 / 500)
    taken = epsilon(noise_multiplier=0.2, sample_rate=0.01, steps=1000, delta=1 / 500)
    assert for_a_round == pytest.approx(18.96, abs=0.05)
    assert taken == pytest.approx(169.4, abs=0.5)
    right = noise_multiplier(epsilon=8, sample_rate=0.01, steps=1000, delta=1 / 500)
    assert right == pytest.approx(0.50, abs=0.01)
    assert epsilon(noise_multiplier=right, sample_rate=0.01, steps=1000, delta=1 / 500) <= 8


@settings(max_examples=10, deadline=None)
@given(st.floats(0.5, 12), st.sampled_from([0.05, 0.2, 1.0]), st.integers(1, 60))
def test_the_least_noise_keeps_the_bound_and_one_percent_less_breaks_it(bound, rate, steps):
    noise = noise_multiplier(epsilon=bound, sample_rate=rate, steps=steps, delta=1e-4)
    assert epsilon(noise_multiplier=noise, sample_rate=rate, steps=steps, delta=1e-4) <= bound
    if noise > 0.1:
        assert epsilon(noise_multiplier=0.99 * noise, sample_rate=rate, steps=steps, delta=1e-4) > bound


def test_what_was_spent_before_leaves_less_for_later():
    before = Event(1.0, 0.05, 100)
    first = spent([before], 1e-5)
    noise = solved(lambda one: [before, Event(one, 0.05, 100)], 6.0, 1e-5)
    assert noise > noise_multiplier(epsilon=6.0, sample_rate=0.05, steps=100, delta=1e-5)
    assert first < spent([before, Event(noise, 0.05, 100)], 1e-5) <= 6.0
    with pytest.raises(RecipeError, match="no noise keeps these steps"):
        solved(lambda one: [before, Event(one, 0.05, 100)], first * 0.9, 1e-5)


def test_splitting_steps_over_rounds_changes_nothing():
    assert spent([Event(1.0, 0.1, 3)] * 4, 1e-5) == pytest.approx(spent([Event(1.0, 0.1, 12)], 1e-5), rel=1e-6)
    assert spent([], 1e-5) == 0 == spent([Event(1.0, 0.1, 0)], 1e-5)


def test_draws_without_replacement_have_an_accountant_of_their_own():
    fixed = Event(2.0, 0.1, 10, "without_replacement", 10, 100)
    everyone = Event(2.0, 1.0, 10, "without_replacement", 100, 100)
    assert 0 < spent([fixed], 1e-5) < spent([everyone], 1e-5)
    # replacing one row moves a sum over all rows by 2 clips: the Gaussian mechanism with half the noise
    assert spent([everyone], 1e-5) == pytest.approx(
        epsilon(noise_multiplier=1.0, sample_rate=1.0, steps=10, delta=1e-5, accountant="rdp"), rel=1e-3
    )
    assert spent([everyone, Event(2.0, 1.0, 5)], 1e-5) == pytest.approx(spent([replace(everyone, steps=15)], 1e-5))
    with pytest.raises(RecipeError, match="neighbouring data of another kind"):
        spent([fixed, Event(2.0, 0.1, 10)], 1e-5)
    with pytest.raises(RecipeError, match="Poisson sampling alone"):
        epsilon(noise_multiplier=1.0, sample_rate=0.1, steps=1, delta=1e-5, sampling="without_replacement")


@pytest.mark.parametrize(
    ("settings", "named"),
    [
        ({"noise_multiplier": 0}, "noise_multiplier"),
        ({"noise_multiplier": math.nan}, "noise_multiplier"),
        ({"sample_rate": 0}, "sample_rate"),
        ({"sample_rate": 1.01}, "sample_rate"),
        ({"steps": -1}, "steps"),
        ({"delta": 0}, "delta"),
        ({"delta": 1}, "delta"),
    ],
)
def test_numbers_out_of_range_are_refused_by_name(settings, named):
    with pytest.raises(RecipeError, match=f"^{named}: "):
        epsilon(**{"noise_multiplier": 1.0, "sample_rate": 0.1, "steps": 10, "delta": 1e-5} | settings)


@pytest.mark.parametrize("bound", [0, -1, math.inf, math.nan])
def test_a_bound_that_is_no_positive_number_is_refused(bound):
    with pytest.raises(RecipeError, match=r"^epsilon: "):
        noise_multiplier(epsilon=bound, sample_rate=0.1, steps=10, delta=1e-5)
