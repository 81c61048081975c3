"""The report's section on privacy says what was promised, and shows no number of a client's rows."""

from __future__ import annotations

import pytest

import fedloom
from fedloom.privacy.accounting import Event
from fedloom.privacy.words import limits, promised
from fedloom.recipe import PrivacyRecipe
from fedloom.report.html import page
from fedloom.report.privacy import spent_curve
from fedloom.report.record import read_run
from fedloom.spending import Spending, spending_of

SMALL = {"evaluate.baselines": [], "evaluate.every": 1, "evaluate.samples": 0, "rounds": 1, "task.steps": 1, "model.adapter.rank": 2}


NOISE = {"privacy.delta": 1e-3, "privacy.noise_multiplier": 1.0, "evaluate.every": 0}


@pytest.fixture(autouse=True)
def own_home(tmp_path, monkeypatch):
    monkeypatch.setenv("FEDLOOM_HOME", str(tmp_path / "home"))


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        (
            {"epsilon": 8.0, "delta": 1e-3},
            "no outcome is more than 2,981 times as likely with a row as without it, but for a probability of 0.001",
        ),
        ({"epsilon": 0.5, "unit": "client"}, "more than 1.65 times as likely with a client as without it"),
        ({"noise_multiplier": 1.5}, "noise of 1.5 clipping norms on every sum of rows, and no bound"),
    ],
)
def test_a_promise_is_said_in_words_with_its_numbers(settings, said):
    assert said in promised(PrivacyRecipe(**settings))


def test_without_privacy_no_guarantee_is_claimed():
    assert "no formal guarantee" in promised(None)


def test_limits_are_those_of_the_unit():
    rows, clients = (limits(PrivacyRecipe(epsilon=1.0, unit=unit)) for unit in ("row", "client"))
    assert any("several rows" in text for text in rows)
    assert any("trusted with every client's update" in text for text in clients)
    shared = limits(PrivacyRecipe(epsilon=1.0, unit="client", noise_at="clients"))
    assert not any("trusted" in text for text in shared)


def test_the_report_has_the_terms_and_no_number_of_rows(tmp_path):
    run = fedloom.run("tiny", tmp_path / "run", **SMALL, **{"privacy.epsilon": 8.0, "privacy.delta": 1e-3})
    text = page(read_run(run.folder))
    assert "2,981 times" in text
    assert "every row that is trained on" in text
    assert "What is not covered" in text
    holdings = read_run(run.folder).holdings()
    assert [set(one) for one in holdings] == [{"client", "held_out"}] * 4
    plain = fedloom.run("tiny", tmp_path / "plain", **SMALL)
    assert "What is not covered" not in page(read_run(plain.folder))


def drawn(axes):
    """label -> (xs, ys) of the lines of a plot."""
    return {line.get_label(): ([float(x) for x in line.get_xdata()], [float(y) for y in line.get_ydata()]) for line in axes.get_lines()}


def test_what_was_spent_is_drawn_over_rounds_with_what_may_be_spent(tmp_path):
    settings = SMALL | NOISE | {"rounds": 3}
    earlier = fedloom.run("tiny", tmp_path / "earlier", **settings | {"rounds": 1})
    run = fedloom.run("tiny", tmp_path / "run", **settings | {"privacy.epsilon": 9.0})
    spent = [fedloom.privacy.epsilon(noise_multiplier=1.0, sample_rate=8 / 32, steps=steps, delta=1e-3) for steps in (1, 2, 3, 4)]
    most = spending_of(run.folder)[0]
    lines = drawn(spent_curve(most, 3).axes[0])
    assert lines["spent"] == ([0.0, 1.0, 2.0, 3.0], pytest.approx(spent))
    assert lines["may be spent"][1] == [9.0, 9.0]
    text = page(read_run(run.folder))
    assert f"has spent epsilon {spent[-1]:.4g} by all runs on its rows" in text
    assert f"Of 9 that may be spent, {9 - spent[-1]:.3g} is left" in text
    assert "Privacy spent" in text
    assert "Nothing bounds what may be spent later" in page(read_run(earlier.folder))


def test_a_server_whose_sites_are_elsewhere_draws_nothing_of_their_ledgers(tmp_path, monkeypatch):
    run = fedloom.run("tiny", tmp_path / "run", **SMALL | NOISE)
    assert "Privacy spent" in page(read_run(run.folder))
    monkeypatch.setenv("FEDLOOM_HOME", str(tmp_path / "another machine"))
    assert "Privacy spent" not in page(read_run(run.folder))


def test_a_report_of_a_run_whose_ledger_was_changed_is_written_without_it(tmp_path):
    run = fedloom.run("tiny", tmp_path / "run", **SMALL | NOISE)
    for path in (tmp_path / "home" / "ledgers").glob("*.jsonl"):
        path.write_text("{}\n")
    assert "Privacy spent" not in page(read_run(run.folder))


def spending(rounds, budget=8.0):
    events = tuple((number, Event(1.0, 0.01, 4)) for number in rounds)
    return Spending("east", 1.0, 1.0, budget, 1e-5, 4 * len(events), 1.0, tuple(rounds), "ledger", events)


def test_hundreds_of_rounds_cost_as_many_figures_as_are_shown():
    paid = spending(range(1, 301)).over_rounds()
    assert len(paid) == 25
    assert [number for number, _ in paid][::24] == [1, 300]
    assert paid[-1][1] == fedloom.privacy.epsilon(noise_multiplier=1.0, sample_rate=0.01, steps=1200, delta=1e-5)
    assert sorted(paid) == paid


def test_a_client_that_was_not_drawn_again_has_spent_no_more():
    xs, ys = drawn(spent_curve(spending([2], None), 5).axes[0])["spent"]
    assert xs == [0, 2, 5]
    assert ys[0] == 0
    assert ys[1] == ys[2] > 0
