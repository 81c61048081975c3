"""What tasks measure: values from additive sums, of one client or of all together, and declarations that hold."""

import math

import pytest
import torch

from fedloom.tasks import SFT, Classify, Task, tasks
from fedloom.tasks.classify import macro_f1


def test_macro_f1_without_any_label_is_zero():
    assert macro_f1({f"{name}/{k}": 0.0 for name in ("true_positive", "false_positive", "false_negative") for k in range(2)}, 2) == 0.0


OWN = [name for name in tasks.names() if tasks.get(name).__module__.startswith("fedloom.") and name != "radiance"]


@pytest.mark.parametrize("kind", OWN)
def test_a_task_declares_the_sums_and_the_values_that_it_gives(kind, made):
    one = made(kind)
    sums = one.task.evaluate(one.model, one.rows, range(4), 2)
    assert sums.keys() == set(one.task.sum_names) == one.task.no_sums().keys()
    assert all(isinstance(value, float) and value >= 0 for value in sums.values())
    assert sums["rows"] == 4
    assert one.task.plausible(sums)
    assert one.task.plausible(one.task.no_sums())
    for lie in ({"loss": 1e6 * sums["terms"] * 1.01}, {"loss": 1e308}, {"terms": 0.0, "loss": 1.0}, {"rows": 3.5}):
        assert not one.task.plausible(sums | lie)
    values = one.task.values(sums)
    assert list(values) == [measure.name for measure in one.task.measures]
    assert all(math.isfinite(value) for value in values.values())
    assert all(0 <= values[measure.name] <= 1 for measure in one.task.measures if measure.is_share)
    assert values["loss"] == one.task.mean_loss(sums) == pytest.approx(sums["loss"] / sums["terms"])
    assert one.task.majority_measure in (None, one.task.measures[0].name)


@pytest.mark.parametrize("kind", [kind for kind in OWN if not tasks.get(kind).couples_rows])
def test_sums_of_parts_add_up_to_the_sums_of_all(kind, made):
    one = made(kind)
    whole = one.task.evaluate(one.model, one.rows, range(4), 16)
    assert one.task.evaluate(one.model, one.rows, range(4), 1) == pytest.approx(whole, abs=1e-4)


TASK = Classify(labels=("a", "b", "c"))


def sums(right, wrong):
    """The sums of rows: label -> how many are right; (label, found) -> how many are wrong so."""
    found = TASK.no_sums()
    for label, count in right.items():
        found[f"true_positive/{label}"] += count
        found["right"] += count
        found["rows"] += count
    for (label, said), count in wrong.items():
        found[f"false_negative/{label}"] += count
        found[f"false_positive/{said}"] += count
        found["rows"] += count
    return found | {"terms": found["rows"], "loss": 2 * found["rows"]}


NORTH = sums({0: 8}, {(1, 0): 2})
"""Label 0: 8 found, and 2 rows of label 1 taken for it: F1 of 0 is 16/18, of 1 it is 0."""
EAST = sums({1: 9}, {(0, 1): 1})
"""F1 of 1 is 18/19, of 0 it is 0."""


def test_macro_f1_is_the_mean_of_the_labels_f1():
    assert macro_f1(NORTH, 3) == pytest.approx((16 / 18 + 0) / 2)
    assert macro_f1(EAST, 3) == pytest.approx((0 + 18 / 19) / 2)


def test_macro_f1_of_all_clients_is_of_their_pooled_counts_not_the_mean_of_theirs():
    pooled = {name: NORTH[name] + EAST[name] for name in NORTH}
    # label 0: TP 8, FP 2, FN 1; label 1: TP 9, FP 1, FN 2; label 2 is neither present nor predicted
    expected = (16 / (16 + 2 + 1) + 18 / (18 + 1 + 2)) / 2
    values = TASK.values(pooled)
    assert values == {"accuracy": 17 / 20, "macro_f1": pytest.approx(expected), "loss": 2.0}
    mean = (TASK.values(NORTH)["macro_f1"] + TASK.values(EAST)["macro_f1"]) / 2
    assert abs(values["macro_f1"] - mean) > 0.3


def test_a_label_that_is_only_predicted_counts_with_zero():
    assert macro_f1(sums({0: 4}, {(0, 2): 1}), 3) == pytest.approx((8 / 9 + 0) / 2)


def test_perplexity_is_the_exponential_of_the_mean_loss_per_token():
    values = SFT().values({"loss": 6.0, "terms": 4.0, "exact": 1.0, "rows": 2.0})
    assert values == {"exact_match": 0.5, "loss": 1.5, "perplexity": pytest.approx(math.exp(1.5))}
    assert math.isfinite(SFT().values({"loss": 1e9, "terms": 1.0, "exact": 0.0, "rows": 1.0})["perplexity"])


def test_most_tasks_can_learn_from_every_row():
    assert [Task().learnable(rows) for rows in ([], ["row"])] == [[], [True]]


def test_the_mean_loss_is_over_the_terms_and_zero_without_any():
    assert [Task().mean_loss({"loss": 3.0, "terms": terms}) for terms in (1.0, 2.0)] == [3.0, 1.5]
    assert Task().mean_loss(Task().no_sums()) == 0.0


def test_a_row_with_several_right_labels_is_right_with_any_and_wrong_for_its_first():
    right = torch.tensor([0, 2, 1])
    scored = [([0], torch.tensor([[0.0, 0.0, 9.0]])), ([2], torch.tensor([[9.0, 0.0, 0.0]]))]
    found = TASK.counted(scored, right, groups=[0, 0, 1])  # row 0 may be called 0 or 2, row 2 is 1 alone
    assert (found["rows"], found["right"]) == (2, 1)
    assert {name: value for name, value in found.items() if "/" in name and value} == {
        "true_positive/2": 1,
        "false_positive/0": 1,
        "false_negative/1": 1,
    }
