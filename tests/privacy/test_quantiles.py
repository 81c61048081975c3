"""A clipping norm that follows a quantile: the paper's formulas, what both releases cost together, and where the norm ends up."""

from __future__ import annotations

import math

import numpy as np
import pytest

from fedloom.errors import RecipeError
from fedloom.privacy.quantiles import bounds, moved, noise_on_count, noise_on_updates
from fedloom.privacy.terms import PrivacyTerms

TERMS = {"unit": "client", "epsilon": None, "delta": 1e-5, "clip": 1.0, "noise_at": "server", "ledger": "rows", "rounds": 10, "quorum": 1}


def test_the_noise_on_the_number_of_clients_is_a_twentieth_of_them_and_never_below_that_of_the_terms():
    assert noise_on_count(1.0, 100) == 5.0
    assert noise_on_count(1.0, 10) == 1.0
    assert noise_on_count(8.0, 100) == 8.0


def test_the_noise_on_the_updates_makes_up_for_the_bits():
    """By hand: (1 - 1/100)^(-1/2) for sigma_b = 5; 2 / sqrt(3) for sigma_b = z."""
    assert noise_on_updates(1.0, 5.0) == pytest.approx(1.00503782, rel=1e-8)
    assert noise_on_updates(3.0, 3.0) == pytest.approx(3 * 2 / math.sqrt(3))
    with pytest.raises(RecipeError, match=r"privacy.clip_quantile: noise of 0.5 .* should be above 0.5"):
        noise_on_updates(1.0, 0.5)


def test_terms_without_a_quantile_keep_their_noise():
    plain = PrivacyTerms(**TERMS, noise_multiplier=2.0, clients=60, drawn=60)
    adaptive = PrivacyTerms(**TERMS, noise_multiplier=2.0, clients=60, drawn=60, clip_quantile=0.5)
    assert plain.noise_on_updates == 2.0
    assert (adaptive.noise_on_count, adaptive.noise_on_updates) == (3.0, pytest.approx((1 / 4 - 1 / 36) ** -0.5))


@pytest.mark.parametrize(("noise", "drawn"), [(0.7, 10), (1.0, 100), (4.0, 30)])
def test_updates_and_bits_together_cost_one_sum_of_the_terms(noise, drawn):
    """dp-accounting composes both releases: a bit less one half moves their sum by half a unit at the most."""
    dp = pytest.importorskip("dp_accounting")
    from dp_accounting.pld.pld_privacy_accountant import PLDAccountant

    def epsilon(*noises):
        accountant = PLDAccountant(value_discretization_interval=1e-4)
        for one in noises:
            accountant.compose(dp.SelfComposedDpEvent(dp.GaussianDpEvent(one), 5))
        return accountant.get_epsilon(1e-5)

    on_count = noise_on_count(noise, drawn)
    both = epsilon(noise_on_updates(noise, on_count), on_count / 0.5)
    assert both == pytest.approx(epsilon(noise), rel=1e-3)


def test_the_norm_moves_as_the_paper_says():
    assert moved(2.0, 1.0, 1.0, 0.5) == pytest.approx(2.0 * math.exp(-0.1))
    assert moved(2.0, 1.0, 0.0, 0.9) == pytest.approx(2.0 * math.exp(0.18))
    assert moved(2.0, 1.0, 0.5, 0.5) == 2.0


@pytest.mark.parametrize("share", [1e9, -1e9, 1e300])
def test_noise_without_measure_never_takes_the_norm_out_of_its_bounds(share):
    least, most = bounds(0.3)
    assert least <= moved(0.3, 0.3, share, 0.5) <= most
    assert (least, most) == pytest.approx((0.3e-3, 0.3e3))


@pytest.mark.parametrize("quantile", [0.2, 0.5, 0.8])
@pytest.mark.parametrize("first", [0.05, 40.0])
def test_the_norm_settles_at_the_quantile_of_norms_that_stay(quantile, first):
    random = np.random.default_rng(3)
    norms = random.lognormal(sigma=1.0, size=400)
    clip, seen = first, []
    for _ in range(300):
        noise = random.standard_normal() * noise_on_count(1.0, len(norms))
        clip = moved(clip, first, ((norms <= clip).sum() + noise) / len(norms), quantile)
        seen.append(clip)
    assert np.mean(norms <= np.median(seen[-100:])) == pytest.approx(quantile, abs=0.03)
