"""Suites in sweeps: intervals over rows of the mean over seeds, and what is not told apart from the best."""

import json
from dataclasses import replace
from statistics import fmean

import numpy as np
import pytest

from fedloom.evaluation.evaluated import FOLDER, evaluated, keep
from fedloom.evaluation.intervals import bootstrap
from fedloom.evaluation.suite import Scored
from fedloom.evaluation.suites import suites
from fedloom.measures import SHARE, Measure
from fedloom.outcome import Run
from fedloom.report.record import Event, RunRecord
from fedloom.studies import sweep
from fedloom.studies.sweep import Cell, summarise
from fedloom.studies.sweep_table import LEGEND, sweep_csv, sweep_latex, sweep_markdown, sweep_table

ROWS = 60
MATCH = Measure("questions/exact_match", "questions: exact match", SHARE, "higher")
RIGHT = {"fedavg": (30, 33), "fedprox": (32, 30), "scaffold": (2, 3)}
"""algorithm -> rows that are right, in each of two seeds, the first ones of all."""


@pytest.fixture
def suite(tmp_path):
    (tmp_path / "q.jsonl").write_text('{"question": "What?", "answer": "that"}\n')
    return suites.get("questions")(source=str(tmp_path / "q.jsonl"))


def marks(right):
    return [float(place < right) for place in range(ROWS)]


def rows(right):
    return [Scored(str(place), {"exact_match": mark, "f1": mark, "rouge_l": mark}) for place, mark in enumerate(marks(right))]


@pytest.fixture
def done(tmp_path, suite, monkeypatch):
    """Finished cells: three algorithms, two seeds, base and clients alone in the first."""
    found, records = [], {}
    for name, of_seeds in RIGHT.items():
        for seed, right in enumerate(of_seeds, start=1):
            folder = tmp_path / f"{name}-{seed}"
            scored = {"federated": [rows(right)]}
            if name == "fedavg":
                scored |= {"base": [rows(0)], "local": [rows(20), rows(28)]}
            result = evaluated("questions", suite, scored)
            keep(result, folder / FOLDER)
            values = {f"{system}/questions/{name}": one.value for system, of in result.systems.items() for name, one in of.items()}
            found.append((Cell({"algorithm.name": name, "seed": seed}, folder), Run(folder, "finished", None, 1, values, 0, 0.0, None)))
            events = tuple(Event(1, None, f"probe/{key}", value) for key, value in values.items())
            records[folder] = RunRecord(folder, {}, metrics=events)
    monkeypatch.setattr(sweep, "read_run", records.__getitem__)
    return found


def test_the_interval_is_that_of_the_mean_over_seeds_on_the_same_draws_of_rows(done):
    results = {(one.system, *dict(one.group).values()): one for one in summarise(done)}
    means = np.mean([marks(right) for right in RIGHT["fedavg"]], axis=0)
    whole = bootstrap(lambda counts: {"x": float(np.average(means, weights=counts))}, ROWS)["x"]
    fedavg = results["federated", "fedavg"]
    found = fedavg.intervals[MATCH.name]
    assert fedavg.mean[MATCH.name] == whole.value == fmean(RIGHT["fedavg"]) / ROWS
    assert (found.low, found.high) == pytest.approx((whole.low, whole.high))
    assert results["local",].mean[MATCH.name] == pytest.approx(24 / ROWS)
    assert MATCH.name in results["local",].intervals


def test_whether_the_rows_tell_a_result_apart_from_the_best_is_known_of_all_others(done):
    told = {(one.system, *dict(one.group).values()): one.apart.get(MATCH.name) for one in summarise(done)}
    assert told == {
        ("federated", "fedavg"): None,  # the best itself
        ("federated", "fedprox"): False,
        ("federated", "scaffold"): True,
        ("base",): True,
        ("local",): True,
    }


def test_every_table_has_the_interval_the_sign_and_the_legend(done):
    results = summarise(done)
    cells = [str(cell) for cell in sweep_table(results, [MATCH]).columns[2].cells]
    assert cells[0].startswith("52.5% ± 3.5% [")
    assert [cell.endswith("] ≈") for cell in cells] == [False, True, False, False, False]
    assert sweep_table(results, [MATCH]).caption == LEGEND
    assert sweep_markdown(results, [MATCH]).endswith(f"\n\n{LEGEND}\n")
    latex = sweep_latex(results, [MATCH])
    assert r"] $\approx$ & 2 \\" in latex
    assert r"best federated). In brackets: 95\% intervals" in latex
    lines = [line.split(",") for line in sweep_csv(results, [MATCH]).splitlines()]
    assert [line[-1] for line in lines] == ["beside_best", "best", "not told apart", "told apart", "told apart", "told apart"]
    assert float(lines[1][-3]) < 0.525 < float(lines[1][-2])


def test_results_as_json_have_the_intervals_and_what_is_told_apart(done):
    plain = json.loads(json.dumps(summarise(done)[1].plain()))
    assert plain["intervals"][MATCH.name]["value"] == plain["mean"][MATCH.name]
    assert plain["apart"][MATCH.name] is False
    assert set(plain) == {"group", "runs", "mean", "spread", "system", "intervals", "apart"}


def test_rows_of_another_evaluation_give_no_interval(done, suite):
    keep(evaluated("questions", suite, {"federated": [rows(1)]}), done[-1][0].folder / FOLDER)
    results = summarise(done)
    assert [dict(one.group).get("algorithm.name") for one in results if not one.intervals] == ["scaffold"]


def test_of_what_was_asked_other_rows_than_the_best_nothing_is_said_beside_it(done, suite):
    for cell, _ in done[:2]:  # of the best
        others = [replace(row, row=f"other-{row.row}") for row in rows(RIGHT["fedavg"][cell.values["seed"] - 1])]
        keep(evaluated("questions", suite, {"federated": [others]}), cell.folder / FOLDER)
    results = summarise(done)
    assert all(MATCH.name in one.intervals for one in results[:3])
    assert [line.split(",")[-1] for line in sweep_csv(results[:3], [MATCH]).splitlines()] == ["beside_best", "best", "", ""]
