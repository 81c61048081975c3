"""The robust rules: each against a plain formula, against attackers, and with its preconditions."""

import itertools
import math
import random
import statistics

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import fedloom.algorithms
from fedloom.algorithms.robust import geometry
from fedloom.algorithms.robust.bulyan import _mean_around_median
from fedloom.algorithms.robust.foolsgold import _trust
from fedloom.errors import FedloomError
from fedloom.state import State

NAMES = [
    "median", "trimmed_mean", "krum", "multi_krum", "bulyan", "geometric_median", "norm_clipping", "centered_clipping", "dnc",
    "foolsgold", "residual_reweighting",
]  # fmt: skip

DRAW = random.Random(11)
UPDATES = [[DRAW.uniform(-1, 1) for _ in range(5)] for _ in range(9)]


def state(values):
    return State.of({"w": torch.tensor(values, dtype=torch.float32)})


def joined(name, updates, weights=None, names=None, **settings):
    """The joint update of one round."""
    rule = fedloom.algorithms.get(name)(**settings)
    rule.start(state([0.0] * len(updates[0])))
    for i, update in enumerate(updates):
        rule.add(state(update), weight=weights[i] if weights else 1.0, client=names[i] if names else f"c{i}")
    return rule.step().flat.tolist()


def squared_distance(a, b):
    return sum((x - y) ** 2 for x, y in zip(a, b, strict=True))


def krum_order(updates, malicious, neighbours=None):
    """Positions of `updates` by Krum's score, best first."""
    scores = krum_scores(updates, neighbours or len(updates) - malicious - 2)
    return sorted(range(len(updates)), key=scores.__getitem__)


def krum_scores(updates, neighbours):
    return [sum(sorted(squared_distance(u, v) for j, v in enumerate(updates) if j != i)[:neighbours]) for i, u in enumerate(updates)]


def column_mean(updates):
    return [statistics.fmean(column) for column in zip(*updates, strict=True)]


@pytest.mark.parametrize("n", range(1, 18))
def test_the_median_is_taken_in_every_coordinate(n):
    updates = [[DRAW.uniform(-1, 1) for _ in range(9000)] for _ in range(n)]
    assert joined("median", updates) == pytest.approx([statistics.median(column) for column in zip(*updates, strict=True)], abs=1e-6)


@pytest.mark.parametrize(
    ("values", "middle"), [([100.0, 1.0, 5.0], 5.0), ([100.0, 1.0, 5.0, 7.0], 6.0), ([3e38, 3e38, -3e38], 3e38), ([-1.0, 4.0], 1.5)]
)
def test_the_median_of_an_odd_number_is_the_middle_one_and_of_an_even_number_the_mean_of_two(values, middle):
    assert joined("median", [[value, -value] for value in values]) == pytest.approx([middle, -middle], rel=1e-6)


@pytest.mark.parametrize(("n", "trim"), [(1, 0), (3, 1), (9, 1), (9, 3), (10, 4), (17, 2)])
def test_the_trimmed_mean_leaves_out_both_ends(n, trim):
    updates = [[DRAW.uniform(-1, 1) for _ in range(50)] for _ in range(n)]
    expected = [statistics.fmean(sorted(column)[trim : n - trim]) for column in zip(*updates, strict=True)]
    assert joined("trimmed_mean", updates, trim=trim) == pytest.approx(expected, abs=1e-6)


def test_a_trimmed_mean_of_three_is_their_median():
    assert joined("trimmed_mean", UPDATES[:3], trim=1) == joined("median", UPDATES[:3])


@pytest.mark.parametrize("malicious", [0, 1, 2, 3])
def test_krum_takes_the_update_with_the_nearest_neighbours(malicious):
    assert joined("krum", UPDATES, malicious=malicious) == pytest.approx(UPDATES[krum_order(UPDATES, malicious)[0]])


def test_multi_krum_averages_the_best():
    best = krum_order(UPDATES, 2)
    assert joined("multi_krum", UPDATES, malicious=2) == pytest.approx(column_mean([UPDATES[i] for i in best[:5]]), abs=1e-6)
    assert joined("multi_krum", UPDATES, malicious=2, keep=3) == pytest.approx(column_mean([UPDATES[i] for i in best[:3]]), abs=1e-6)


def picked_by_krum(updates, malicious):
    """The n - 2f updates that Krum picks one after the other; of two with equal scores the one that has the better score among all."""
    among_all = krum_order(updates, malicious)
    left, picked = list(updates), []
    while len(picked) < len(updates) - 2 * malicious:
        scores = krum_scores(left, max(len(left) - malicious - 2, 1))
        best = min(range(len(left)), key=lambda i: (scores[i], among_all.index(updates.index(left[i]))))
        picked.append(left.pop(best))
    return picked


@pytest.mark.parametrize(("n", "malicious"), [(3, 0), (7, 1), (8, 1), (12, 1), (12, 2)])
@pytest.mark.parametrize("seed", range(4))
def test_bulyan_averages_the_picked_values_nearest_to_their_median(seed, n, malicious):
    draw = random.Random(seed)
    updates = [[draw.uniform(-1, 1) for _ in range(40)] for _ in range(n)]
    expected = []
    for column in zip(*picked_by_krum(updates, malicious), strict=True):
        middle = statistics.median(column)
        expected.append(statistics.fmean(sorted(column, key=lambda value: abs(value - middle))[: n - 4 * malicious]))
    assert joined("bulyan", updates, malicious=malicious) == pytest.approx(expected, abs=1e-6)


def test_bulyan_moves_to_the_nearer_values_when_colluders_send_equal_ones():
    for ranked, count, mean in (((-2, -2, 0, 1, 5), 3, -1 / 3), ((-5, -1, 0, 2, 2), 3, 1 / 3), ((-1, 0, 1), 2, -1 / 2)):
        rows = [np.array([value], dtype=np.float32) for value in ranked]
        assert _mean_around_median(rows, count) == pytest.approx([mean])  # of two that are equally near, the smaller one


def test_foolsgold_trusts_clients_that_are_like_nobody():
    histories = [torch.tensor(row) for row in ([1.0, 0, 0], [0.001, 1, 0], [-0.1, -0.1, 0.99])]
    assert _trust(geometry.inner_products(histories), 1.0).tolist() == pytest.approx([1, 1, 1])


@pytest.mark.parametrize("huge", [-1e15, 1e15, -1e25])
def test_bulyan_keeps_small_values_beside_huge_ones_that_are_picked(huge):
    draw = random.Random(3)
    updates = [[draw.uniform(-1, 1) for _ in range(20)] for _ in range(9)] + [[huge] * 20] * 2
    mean = column_mean(updates[:9])
    assert all(abs(value - middle) < 1 for value, middle in zip(joined("bulyan", updates, malicious=2), mean, strict=True))
    spread = [(min(column), max(column)) for column in zip(*updates[:9], strict=True)]
    assert all(low <= value <= high for value, (low, high) in zip(joined("bulyan", updates, malicious=2), spread, strict=True))


def test_the_geometric_median_has_the_least_weighted_distance():
    weights = [1.0, 4.0, 2.0, 2.0, 1.0, 3.0, 1.0, 1.0, 2.0]

    def cost(z):
        return sum(p * math.sqrt(squared_distance(z, u)) for p, u in zip(weights, UPDATES, strict=True))

    found = joined("geometric_median", UPDATES, weights)
    for axis, shift in itertools.product(range(5), (-1e-2, 1e-2)):
        assert cost([x + shift * (i == axis) for i, x in enumerate(found)]) > cost(found)


def test_the_first_step_to_the_geometric_median_weighs_by_rows_and_by_nearness_to_the_mean():
    weights = [1.0, 4.0, 2.0]
    mean = [sum(p * x for p, x in zip(weights, column, strict=True)) / 7 for column in zip(*UPDATES[:3], strict=True)]
    pulls = [p / math.sqrt(squared_distance(u, mean)) for p, u in zip(weights, UPDATES, strict=False)]
    expected = [sum(b * x for b, x in zip(pulls, column, strict=True)) / sum(pulls) for column in zip(*UPDATES[:3], strict=True)]
    assert joined("geometric_median", UPDATES[:3], weights, iterations=1) == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize("far", [1e3, 1e8, 1e14, 1e20, 1e30])
@pytest.mark.parametrize("colluders", [1, 3])
def test_colluders_draw_the_geometric_median_no_further_however_far_away_they_are(far, colluders):
    honest = UPDATES[:5]
    found = joined("geometric_median", [*honest, *[[far] * 5] * colluders])
    # 1 of the unit vectors to the honest points, in sum, stands against each colluder's
    pulls = [[(x - z) / math.sqrt(squared_distance(found, u)) for x, z in zip(u, found, strict=True)] for u in honest]
    assert [sum(axis) for axis in zip(*pulls, strict=True)] == pytest.approx([-colluders / math.sqrt(5)] * 5, abs=1e-3)


def test_the_geometric_median_of_points_on_a_line_is_their_median():
    assert joined("geometric_median", [[0.0, 0.0], [1.0, 2.0], [10.0, 20.0]]) == pytest.approx([1.0, 2.0], abs=1e-3)


def test_norm_clipping_shortens_long_updates_and_weighs_by_rows():
    # by hand: norms 5 and .5, so the first is divided by 5; weights 1 and 3
    assert joined("norm_clipping", [[3.0, 4.0], [0.3, 0.4]], [1.0, 3.0]) == pytest.approx([(0.6 + 0.9) / 4, (0.8 + 1.2) / 4])


def test_centered_clipping_follows_its_formula_from_round_to_round():
    radius, rule, center = 0.4, fedloom.algorithms.get("centered_clipping")(radius=0.4, iterations=2), [0.0] * 5
    rule.start(state([0.0] * 5))
    total = [0.0] * 5
    for chosen in (UPDATES[:4], UPDATES[3:9], UPDATES[:2]):
        for update in chosen:
            rule.add(state(update))
        rule.step()
        for _ in range(2):
            scales = [min(1, radius / math.sqrt(squared_distance(u, center))) for u in chosen]
            center = [v + sum(s * (u[j] - v) for s, u in zip(scales, chosen, strict=True)) / len(chosen) for j, v in enumerate(center)]
        total = [t + v for t, v in zip(total, center, strict=True)]
        assert rule.state.flat.tolist() == pytest.approx(total, abs=1e-6)


def test_dnc_drops_what_stands_out_along_the_main_direction():
    honest = [[DRAW.gauss(1, 0.1) for _ in range(30)] for _ in range(8)]
    attack = [[value - 3 for value in column_mean(honest)]] * 2
    assert joined("dnc", [*attack, *honest], malicious=2) == pytest.approx(column_mean(honest), abs=1e-6)


def test_dnc_looks_at_what_departs_from_the_mean_and_not_from_zero():
    # centred, the last update stands out along the second axis; from zero, the third reaches farthest along the first
    updates = [[10.0, 0.0], [10.0, 0.1], [10.5, -0.1], [9.9, 3.0]]
    assert joined("dnc", updates) == pytest.approx([30.5 / 3, 0.0], abs=1e-6)


def test_foolsgold_ignores_clients_that_are_copies_of_each_other():
    honest = [[1.0, 0.1, 0.0], [0.0, 1.0, 0.1], [0.1, 0.0, 1.0]]
    expected = column_mean(honest)
    assert joined("foolsgold", [*honest, [-5.0, -5.0, 2.0], [-5.0, -5.0, 2.0]]) == pytest.approx(expected, abs=0.02)


def test_foolsgold_remembers_a_client_between_rounds():
    rule = fedloom.algorithms.get("foolsgold")()
    rule.start(state([0.0, 0.0, 0.0]))
    for name, update in (("a", [1.0, 0.0, 0.0]), ("b", [0.0, 1.0, 0.0]), ("x", [9.0, 9.0, 0.0]), ("y", [9.0, 9.0, 0.1])):
        rule.add(state(update), client=name)
    rule.step()
    before = rule.state
    for name, update in (("a", [1.0, 0.0, 0.0]), ("b", [0.0, 1.0, 0.0]), ("x", [0.0, 0.0, -1.0]), ("y", [0.0, 0.0, 1.0])):
        rule.add(state(update), client=name)
    moved = rule.step() - before
    assert abs(moved.flat[2].item()) < 0.05  # x and y look different now; their past gives them away
    assert moved.flat[0].item() == pytest.approx(0.5, abs=0.1)


def test_dnc_draws_other_coordinates_in_every_round():
    rule, steps = fedloom.algorithms.get("dnc")(coordinates=1), set()
    rule.start(state([0.0] * 4))
    for _ in range(8):
        before = rule.state
        for axis in range(4):  # each of the first four stands out along an axis of its own
            rule.add(state([float(axis == other) for other in range(4)]))
        rule.add(state([0.0] * 4))
        steps.add(tuple(round(value, 3) for value in (rule.step() - before).flat.tolist()))
    # the one that stands out along the drawn axis is dropped, the others are averaged
    assert steps <= {tuple(0.0 if axis == dropped else 0.25 for axis in range(4)) for dropped in range(4)}
    assert len(steps) > 1


@pytest.mark.parametrize("kappa", [1.0, 0.6])
@pytest.mark.parametrize(("seed", "mean"), [(9, 0.2), (1, 0.0), (2, 0.0)])
def test_foolsgold_follows_its_formula(seed, mean, kappa):
    draw = random.Random(seed)
    updates = [[draw.gauss(mean, 1) for _ in range(8)] for _ in range(6)]

    def cosine(u, v):
        return sum(x * y for x, y in zip(u, v, strict=True)) / math.sqrt(squared_distance(u, [0] * 8) * squared_distance(v, [0] * 8))

    likeness = [max(0, *(cosine(u, v) for v in updates if v is not u)) for u in updates]
    trust = []
    for i, u in enumerate(updates):
        pardons = [likeness[i] / likeness[j] if likeness[i] < likeness[j] else 1 for j in range(6)]
        trust.append(1 - max(0, *(cosine(u, v) * pardons[j] for j, v in enumerate(updates) if j != i)))
    raw = [one / max(trust) for one in trust]
    a = [1.0 if one == 1 else min(1.0, max(0.0, kappa * (math.log(one / (1 - one)) + 0.5))) for one in raw]
    assert any(0 < one < 1 for one in a)  # some are trusted in part
    expected = [sum(w * x for w, x in zip(a, column, strict=True)) / sum(a) for column in zip(*updates, strict=True)]
    assert joined("foolsgold", updates, confidence=kappa) == pytest.approx(expected, abs=1e-5)


def test_foolsgold_trusts_a_client_that_is_against_the_colluders():
    # its cosines are all below zero, so it is like nobody
    assert joined("foolsgold", [[1.0, 0.0], [0.8, 0.6], [-1.0, -0.2]]) == pytest.approx([-1.0, -0.2])


def test_foolsgold_takes_the_only_update_of_a_round_as_it_is():
    assert joined("foolsgold", [[1.0, -2.0]]) == pytest.approx([1.0, -2.0])


def test_foolsgold_trusts_clients_alike_that_are_like_nobody():
    updates = [[1.0, 0.0], [-0.05, 1.0], [-0.7, -0.68]]  # no two point the same way, some less so than others
    assert joined("foolsgold", updates, confidence=0.5) == pytest.approx(column_mean(updates), abs=1e-6)


def test_foolsgold_does_not_move_when_all_are_copies():
    assert joined("foolsgold", [[1.0, 2.0]] * 3) == [0.0, 0.0]
    assert joined("foolsgold", [[1.0, 2.0], [1.0001, 2.0], [1.0, 2.0002]]) == [0.0, 0.0]  # rounding on the way makes no trust


def test_foolsgold_refuses_updates_without_a_name():
    with pytest.raises(FedloomError, match="needs each update with its own client's name, got ''"):
        joined("foolsgold", UPDATES, names=[""] * 9)


def test_residual_reweighting_follows_its_formula():
    updates, lam, threshold = [[DRAW.gauss(0, 1) for _ in range(20)] for _ in range(7)], 2.0, 0.3
    for update, value in zip(updates, (0.5, 4.0, 0.5, 0.5, -3.0, 0.5, 0.5), strict=True):
        update.append(value)  # most lie on the line to the bit, and the scale of the residuals is zero
    n, mid = 7, 3.0
    confidences, corrected = [[] for _ in updates], [[] for _ in updates]
    for column in zip(*updates, strict=True):
        ranked = sorted(column)
        slope = statistics.median(statistics.median((ranked[j] - ranked[i]) / (j - i) for j in range(n) if j != i) for i in range(n))
        ranks = [ranked.index(y) for y in column]
        line = [statistics.median(column) + slope * (x - mid) for x in ranks]
        residuals = [abs(y - at) for y, at in zip(column, line, strict=True)]
        scale = 1.48 * (1 + 5 / (n - 1)) * statistics.median(residuals)
        for i, y in enumerate(column):
            hat = 1 / n + (ranks[i] - mid) ** 2 / sum((x - mid) ** 2 for x in range(n))
            reach = lam * math.sqrt(2 / n) * math.sqrt(1 - hat) * scale
            confidence = min(1.0, reach / residuals[i]) if residuals[i] else 1.0
            confidences[i].append(confidence)
            corrected[i].append(line[i] if confidence < threshold else y)
    spread = [statistics.pstdev(column) for column in zip(*confidences, strict=True)]
    weight = [sum(c * s for c, s in zip(row, spread, strict=True)) for row in confidences]
    expected = [sum(w * y for w, y in zip(weight, column, strict=True)) / sum(weight) for column in zip(*corrected, strict=True)]
    assert joined("residual_reweighting", updates, confidence=lam, threshold=threshold) == pytest.approx(expected, abs=1e-5)


@pytest.mark.parametrize("name", [name for name in NAMES if name not in ("norm_clipping", "centered_clipping", "foolsgold")])
def test_a_rule_bears_two_malicious_clients_of_eleven(name):
    honest = [[DRAW.gauss(1, 0.05) for _ in range(40)] for _ in range(9)]
    takes = {"malicious": 2} if name in ("krum", "multi_krum", "bulyan", "dnc") else {"trim": 2} if name == "trimmed_mean" else {}
    found = joined(name, [[-50.0] * 40, *honest, [-50.0] * 40], **takes)
    assert math.sqrt(squared_distance(found, [1.0] * 40)) < 1.0
    assert math.sqrt(squared_distance(joined("fedavg", [[-50.0] * 40, *honest, [-50.0] * 40]), [1.0] * 40)) > 50


@pytest.mark.parametrize(
    ("name", "given", "needed"),
    [
        ("krum", {"malicious": 3}, r"Krum needs 9 or more updates in a round \(n >= 2f \+ 3, f being `malicious`\), got 8"),
        ("multi_krum", {"malicious": 3}, r"MultiKrum needs 9 or more .*got 8"),
        ("multi_krum", {"malicious": 1, "keep": 6}, r"MultiKrum needs 9 or more .*got 8"),
        ("bulyan", {"malicious": 2}, r"Bulyan needs 11 or more .*n >= 4f \+ 3.*got 8"),
        ("trimmed_mean", {"trim": 4}, r"TrimmedMean needs 9 or more .*n >= 2 trim \+ 1.*got 8"),
        ("dnc", {"malicious": 2, "iterations": 4}, r"DivideAndConquer needs 9 or more .*got 8"),
        ("dnc", {"malicious": 4}, r"DivideAndConquer needs 9 or more .*got 8"),
        ("dnc", {"malicious": 1, "iterations": 4, "filter_factor": 1.5}, r"DivideAndConquer needs 9 or more .*got 8"),
    ],
)
def test_a_precondition_that_does_not_hold_is_an_error_with_its_reason(name, given, needed):
    with pytest.raises(FedloomError, match=needed):
        joined(name, UPDATES[:8], **given)


@pytest.mark.parametrize(
    ("name", "given", "needed"),
    [
        ("krum", {"malicious": 0}, 3),
        ("multi_krum", {"malicious": 0}, 3),
        ("multi_krum", {"malicious": 2, "keep": 5}, 9),
        ("bulyan", {"malicious": 1}, 7),
        ("trimmed_mean", {"trim": 2}, 5),
        ("dnc", {"malicious": 2}, 5),
        ("dnc", {"malicious": 1, "iterations": 3}, 4),
        ("residual_reweighting", {}, 3),
        ("median", {}, 1),
        ("foolsgold", {}, 1),
    ],
)
def test_the_least_number_of_updates_is_enough_and_one_less_is_not(name, given, needed):
    assert fedloom.algorithms.get(name)(**given).needs_clients == needed
    assert all(map(math.isfinite, joined(name, UPDATES[:needed], **given)))
    rule = fedloom.algorithms.get(name)(**given)
    rule.start(state(UPDATES[0]))
    for number in range(needed - 1):
        rule.add(state(UPDATES[number]), client=f"c{number}")
    with pytest.raises(FedloomError, match=f"needs {needed} or more updates in a round .*, got {needed - 1}"):
        rule.step()


@pytest.mark.parametrize("name", NAMES)
@settings(max_examples=15, deadline=None)
@given(seed=st.integers(0, 10_000))
def test_the_order_of_replies_changes_nothing(name, seed):
    draw = random.Random(seed)
    updates = [[draw.gauss(0, 1) for _ in range(6)] for _ in range(7)]
    weights = [float(draw.randint(1, 9)) for _ in updates]
    order = draw.sample(range(7), 7)
    given_order = joined(name, updates, weights)
    shuffled = joined(name, [updates[i] for i in order], [weights[i] for i in order], [f"c{i}" for i in order])
    assert shuffled == pytest.approx(given_order, abs=1e-5)


@pytest.mark.parametrize("name", ["krum", "multi_krum", "bulyan", "geometric_median", "centered_clipping", "foolsgold"])
def test_distances_are_the_same_however_they_are_cut_into_stretches(name, monkeypatch):
    wide = [[x * (1 + y) for x in update for y in other] for update, other in itertools.pairwise(UPDATES)]
    whole = joined(name, wide)
    monkeypatch.setattr(geometry, "STRETCH", 2)
    assert joined(name, wide) == pytest.approx(whole, abs=1e-6)


@pytest.mark.parametrize("name", [name for name in NAMES if name != "foolsgold"])
def test_equal_updates_are_joined_into_themselves(name):
    update = [0.1, -0.2, 0.3, 0.4]
    assert joined(name, [update] * 7) == pytest.approx(update, abs=1e-6)


@pytest.mark.parametrize("name", NAMES)
def test_a_restored_rule_goes_on_to_the_same_bytes(name):
    rounds = [[[DRAW.gauss(0, 1) for _ in range(6)] for _ in range(7)] for _ in range(4)]

    def play(rule, chosen):
        for updates in chosen:
            for i, update in enumerate(updates):
                rule.add(state(update), client=f"c{i}")
            rule.step()

    def fresh():
        return fedloom.algorithms.get(name)(**({"coordinates": 3} if name == "dnc" else {}))

    whole, before, after = fresh(), fresh(), fresh()
    whole.start(state([0.0] * 6))
    play(whole, rounds)
    before.start(state([0.0] * 6))
    play(before, rounds[:2])
    after.start(before.state)
    after.restore({key: kept.clone() for key, kept in before.server_memory().items()})
    play(after, rounds[2:])
    assert after.state.sha256() == whole.state.sha256()


def test_residual_reweighting_trusts_the_many_that_agree_exactly():
    found = joined("residual_reweighting", [[0.0, 1.0, 0.5]] * 6 + [[9.0, -9.0, 0.5]])
    assert found == pytest.approx([0.0, 1.0, 0.5], abs=1e-6)
