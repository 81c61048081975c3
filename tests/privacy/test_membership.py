"""Membership inference: areas and rates against scikit-learn, and attacks against numbers worked out by hand."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score, roc_curve

from fedloom.privacy.membership import DRAWN, attacks, auc, by_chance, curve, drawn_alike, measured, ratio, rmia


def scores(members, others, ties, seed=0):
    stream = np.random.default_rng(seed)
    found = stream.normal(size=members) + 0.7, stream.normal(size=others)
    return [one.round(1) if ties else one for one in found]


@pytest.mark.parametrize("ties", [False, True])
def test_area_and_rates_are_those_of_scikit_learn(ties):
    members, others = scores(300, 1500, ties)
    right, every = np.repeat([1, 0], [300, 1500]), np.concatenate([members, others])
    assert auc(members, others) == pytest.approx(roc_auc_score(right, every), abs=1e-12)
    false, true, _ = roc_curve(right, every, drop_intermediate=False)
    np.testing.assert_allclose(curve(members, others), (false, true))
    found = measured(members, others)
    for key, rate in (("tpr_at_1%", 0.01), ("tpr_at_0.1%", 0.001)):
        assert found[key] == pytest.approx(true[false <= rate].max())
    assert len(found["roc"]) <= DRAWN
    assert (found["roc"][0], found["roc"][-1]) == ([0, 0], [1, 1])


def test_a_rate_below_one_of_the_others_is_not_told():
    found = measured(*scores(50, 999, ties=False))
    assert found["tpr_at_0.1%"] is None
    assert found["tpr_at_1%"] is not None
    assert measured(*scores(50, 99, ties=False))["tpr_at_1%"] is None


def test_rmia_is_the_share_of_the_population_that_gained_no_more():
    """With a = 0.3, p(x) = 0.65 p(x|reference) + 0.35. Likelihoods by the tuned and the reference model, and p(x|tuned) / p(x):
    rows 0.9, 0.2: 1.875; 0.5, 0.1: 1.205; 0.2, 0.02: 0.551. Population 0.4, 0.4: 0.656; 0.5, 0.2: 1.042; 0.9, 0.5: 1.333."""
    rows = -np.log([[0.9, 0.2], [0.5, 0.1], [0.2, 0.02]])
    population = -np.log([[0.4, 0.4], [0.5, 0.2], [0.9, 0.5]])
    np.testing.assert_allclose(rmia(rows, population), [1, 2 / 3, 0])


def test_rmia_orders_rows_otherwise_than_loss_and_gain_do():
    """The first row has the lower loss, the third the larger gain; the second has the most of both."""
    rows, population = (
        -np.log([[0.9, 0.85], [0.8, 0.3], [0.1, 0.01]]),
        -np.log(np.column_stack([np.linspace(0.05, 0.9, 90), np.full(90, 0.3)])),
    )
    assert rmia(rows, population).argmax() == 1
    assert rows[:, 0].argmin() == 0
    assert (rows[:, 1] - rows[:, 0]).argmax() == 2


def test_the_ratio_orders_rows_as_rmia_does():
    stream = np.random.default_rng(0)
    rows, population = stream.exponential(size=(40, 2)), stream.exponential(size=(50, 2))
    by_ratio = rmia(rows, population)[np.argsort(ratio(rows))]
    np.testing.assert_array_equal(by_ratio, np.sort(by_ratio))
    assert len(set(by_ratio)) > 20


def test_attacks_with_a_reference_that_says_the_same_of_all_rows_are_marked():
    stream = np.random.default_rng(0)
    tuned = stream.exponential(size=(60, 1))
    constant = np.hstack([tuned, np.full((60, 1), np.log(10))])
    same = attacks(*np.split(constant, 3))
    assert "as_by_loss" not in same["loss"]
    assert same["reference"]["as_by_loss"]
    assert same["rmia"]["as_by_loss"]
    assert same["reference"]["auc"] == same["loss"]["auc"]
    other = attacks(*np.split(np.hstack([tuned, stream.exponential(size=(60, 1))]), 3))
    assert not other["reference"]["as_by_loss"]
    assert not other["rmia"]["as_by_loss"]


def test_as_many_members_as_others_of_every_label_are_drawn():
    members, others = [0] * 50 + [1] * 3 + [2] * 20, [1] * 5 + [0] * 10 + [3] * 7
    first, second = drawn_alike(members, others, np.random.default_rng(0))
    assert [members[place] for place in first] == [0] * 10 + [1] * 3
    assert sorted(others[place] for place in second) == [0] * 10 + [1] * 3
    assert len(set(first)) == len(first)
    assert first != drawn_alike(members, others, np.random.default_rng(1))[0]
    assert drawn_alike([0, 0], [1], np.random.default_rng(0)) == ([], [])


def test_every_attack_tells_rows_apart_that_were_learned_by_heart_and_none_others():
    stream = np.random.default_rng(0)

    def rows(count, gain):
        base = stream.normal(3, 0.5, size=count)
        return np.column_stack([base - gain + stream.normal(0, 0.2, size=count), base])

    learned = attacks(rows(100, 2.5), rows(100, 0), rows(100, 0))
    assert all(found["auc"] > 0.95 for found in learned.values())
    assert learned["reference"]["auc"] > 0.999
    untouched = attacks(rows(400, 0), rows(400, 0), rows(100, 0))
    assert all(abs(found["auc"] - 0.5) <= found["by_chance"] for found in untouched.values())


def test_the_area_of_chance_stays_within_its_range_in_19_of_20_cases():
    areas = [auc(*np.split(np.random.default_rng(seed).random(90), [60])) for seed in range(400)]
    assert np.mean(np.abs(np.array(areas) - 0.5) <= by_chance(60, 30)) == pytest.approx(0.95, abs=0.02)
