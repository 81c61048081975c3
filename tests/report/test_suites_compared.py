"""Runs on the suites that all were asked: every run against the first, row by row."""

import json

import pytest

from fedloom.evaluation.evaluated import evaluated, keep
from fedloom.evaluation.suite import Scored
from fedloom.evaluation.suites import suites
from fedloom.report.suites_compared import suites_compared, suites_table


@pytest.fixture
def questions(tmp_path):
    (tmp_path / "q.jsonl").write_text(json.dumps({"question": "What?", "answer": "that"}) + "\n")
    return suites.get("questions")(source=str(tmp_path / "q.jsonl"))


def scored(right):
    return [Scored(str(place), {"exact_match": float(value), "f1": 0.5 + value / 4, "rouge_l": 0.5}) for place, value in enumerate(right)]


def a_run(folder, suite, right, base=0):
    keep(evaluated("questions", suite, {"base": [scored([base] * len(right))], "tuned": [scored(right)]}), folder / "evaluations")
    return folder


def test_what_each_run_has_more_than_the_first_is_shown_with_its_interval_and_p_value(tmp_path, questions):
    first, second = [1] * 20 + [0] * 20, [1] * 32 + [0] * 8
    found, notes = suites_compared([a_run(tmp_path / "a", questions, first), a_run(tmp_path / "b", questions, second)])
    assert notes == []
    right, f1, rouge = found
    assert (right.measure.name, right.rows) == ("exact_match", 40)
    assert [value.value for value in right.values] == [0.5, 0.8]
    (gained,) = right.differences
    assert gained.value == pytest.approx(0.3)
    assert 0.1 < gained.low < gained.high < 0.5
    assert right.p_values == [pytest.approx(2 / 2**12)]
    assert f1.p_values == [None]
    assert rouge.differences[0].holds_zero
    texts = [str(cell) for cell in suites_table(found, ["a", "b"]).columns[3].cells]
    assert texts[0].endswith("p < 0.001")
    assert texts[2].endswith("not told apart")


def test_runs_that_were_asked_other_rows_or_files_are_not_compared(tmp_path, questions):
    first = a_run(tmp_path / "a", questions, [1, 0])
    more = a_run(tmp_path / "b", questions, [1, 0, 1])
    assert suites_compared([first, more]) == ([], ["suite questions: the runs were asked other rows"])
    (tmp_path / "q.jsonl").write_text(json.dumps({"question": "Who?", "answer": "they"}) + "\n")
    other = a_run(tmp_path / "c", questions, [1, 0])
    assert suites_compared([first, other]) == ([], ["suite questions: the runs were asked with other files or settings"])


def test_a_suite_that_only_one_run_was_asked_is_left_out(tmp_path, questions):
    (tmp_path / "b").mkdir()
    assert suites_compared([a_run(tmp_path / "a", questions, [1, 0]), tmp_path / "b"]) == ([], [])
