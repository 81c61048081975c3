"""What a report says of a privacy audit: only what was measured, with what it means, and alerts that cannot be missed."""

from __future__ import annotations

from fedloom.report.audits import alerts, limits, lines, roc_curve

ATTACK = {"auc": 0.8, "by_chance": 0.1, "tpr_at_1%": 0.25, "tpr_at_0.1%": None, "members": 200, "non_members": 150, "roc": [[0, 0], [1, 1]]}
BOUND = {"epsilon": 1.5, "canaries": 500, "guesses": 50, "right": 46, "in_all": 500, "ceiling": 4.65}
FULL = {
    "epsilon_lower": 1.5,
    "epsilon_ledger": 2.0,
    "delta": 1e-5,
    "canaries": BOUND,
    "membership": {"loss": ATTACK},
    "exposure": {"mean": 4.0, "largest": 7.0, "by_chance": 1.42, "ceiling": 8.0, "inserted": 250},
    "reconstruction": {"rows": 40, "said": 0.05, "said_before": 0.0},
    "scan": {"grams": 1200, "files": 9, "hits": {}, "samples": {"asked": 32, "hits": 2, "hits_before": 0}},
    "notes": ["a note"],
}


def test_every_measure_has_a_line_with_its_value_and_what_it_says():
    found = {line.title: (line.value, line.meaning) for line in lines(FULL)}
    assert {title: value for title, (value, _) in found.items()} == {
        "epsilon, at least": "1.50",
        "epsilon, at most": "2.00",
        "membership, by loss": "AUC 0.800",
        "exposure of canaries": "4.00 bits",
        "names said": "5.0%",
        "private text in files": "0",
        "private text said": "2 of 32",
    }
    assert "46 of 50 guesses, on 500 canaries, are right. 500 canaries can show 4.65 at the most" in found["epsilon, at least"][1]
    assert "found: 25.0% of them at 1% false alarms." in found["membership, by loss"][1]
    assert limits(FULL)[-1] == "a note"
    assert alerts(FULL) == []
    assert roc_curve(FULL) is not None


def test_attacks_that_order_rows_as_the_loss_does_are_neither_listed_nor_drawn():
    attacks = {"loss": ATTACK, "reference": ATTACK | {"as_by_loss": True}, "rmia": ATTACK | {"as_by_loss": False}}
    found = {**FULL, "membership": attacks}
    assert [line.title for line in lines(found) if "membership" in line.title] == ["membership, by loss", "membership, RMIA"]
    assert [line.get_label() for line in roc_curve(found).axes[0].get_lines()][:2] == ["by loss", "RMIA"]


def test_the_larger_of_the_bounds_before_and_after_the_finish_steps_is_held_against_the_ledgers():
    both = {**FULL, "epsilon_lower": 0.0, "epsilon_lower_joined": 2.5}
    assert {line.title: line.value for line in lines(both)}["epsilon before the finish steps, at least"] == "2.50"
    assert "at least 2.50, and the ledgers say 2.00" in alerts(both)[0]
    assert alerts({**both, "epsilon_lower": None, "epsilon_lower_joined": None}) == []


def test_a_bound_of_zero_claims_nothing():
    (line, *_) = lines({**FULL, "epsilon_lower": 0.0})
    assert "nothing is shown" in line.meaning
    assert "promise" not in line.meaning


def test_what_was_not_measured_has_no_line():
    empty = dict.fromkeys(("epsilon_lower", "epsilon_ledger", "canaries", "membership", "exposure", "reconstruction"))
    assert lines({**empty, "delta": 1e-5, "scan": {"grams": 0, "files": 3, "hits": {}, "samples": None}, "notes": []}) == []
    assert roc_curve(empty) is None
    assert (alerts({}), lines({})) == ([], [])


def test_a_broken_promise_and_private_text_are_alerts_that_name_files_and_counts():
    broken = {**FULL, "epsilon_lower": 3.0, "scan": {**FULL["scan"], "hits": {"wire.jsonl": 1234}}}
    promise, text = alerts(broken)
    assert "at least 3.00, and the ledgers say 2.00 at the most" in promise
    assert "wire.jsonl (1,234)" in text
