"""The report's section on privacy says what was promised, and shows no number of a client's rows."""

from __future__ import annotations

import pytest

import fedloom
from fedloom.privacy.words import limits, promised
from fedloom.recipe import PrivacyRecipe
from fedloom.report.html import page
from fedloom.report.record import read_run

SMALL = {"evaluate.baselines": [], "evaluate.every": 1, "evaluate.samples": 0, "rounds": 1, "task.steps": 1, "model.adapter.rank": 2}


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
