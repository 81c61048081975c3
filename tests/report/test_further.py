"""What a run has measured beside its held-out rows, as one value for each measure."""

from __future__ import annotations

import io
import json
from pathlib import Path

import pytest
from measured_runs import write_measured
from rich.console import Console
from run_folders import OWNERS, event, write_run

from fedloom.report.compare import compare
from fedloom.report.further import by_name, further, united_groups
from fedloom.report.plots import update_curves
from fedloom.report.record import read_run
from fedloom.report.written import rows_of_measures


def test_each_measure_is_one_value_in_its_group(tmp_path: Path) -> None:
    record = read_run(write_measured(tmp_path / "run"))
    found = further(record)
    assert list(found) == [
        "Worst client",
        "Updates, mean over rounds",
        "Membership, mean over clients",
        "Prepare step make",
        "Finish step polish",
    ]
    values = by_name(found)
    assert values["update/drift"] == pytest.approx((2 + 1 + 2 / 3 + 0.5) / 4)
    assert values["update/alignment"] == pytest.approx(0.25)
    assert values["membership/loss_auc"] == values["membership/rmia_auc"] == 0.515
    assert values["prepare/make/made"] == 10 + 11 + 12 + 13, "counts add up"
    assert values["prepare/make/copies"] == pytest.approx(0.15), "a share is the mean over clients"
    assert values["finish/polish/seconds"] == 12.5
    assert "prepare/make/cosine/0.5" not in values, "bins of a histogram are drawn"
    assert "prepare/make/none" not in values, "what is zero everywhere is not shown"


def test_the_worst_client_is_by_the_direction_of_the_measure(tmp_path: Path) -> None:
    record = read_run(write_run(tmp_path / "run"))
    values = by_name(further(record))
    for name, worst in (("exact_match", min), ("loss", max)):
        assert values[f"worst_client/{name}"] == worst(record.final(f"held_out/federated/{name}", client) for client in OWNERS)
    assert set(by_name(further(record, "majority"))) == {"worst_client/exact_match"}


def test_a_baseline_has_no_updates_and_steps_of_its_own(tmp_path: Path) -> None:
    record = read_run(write_measured(tmp_path / "run"))
    assert list(further(record, "local")) == ["Worst client"]


def test_what_is_not_finite_is_left_out(tmp_path: Path) -> None:
    folder = write_measured(tmp_path / "run")
    with (folder / "metrics.jsonl").open("a") as log:
        log.write(json.dumps(event("update/drift", float("nan"), 4)) + "\n")
    assert "update/drift" not in by_name(further(read_run(folder)))


def test_groups_of_several_runs_hold_each_measure_once(tmp_path: Path) -> None:
    runs = [read_run(write_measured(tmp_path / "a", rmia=False)), read_run(write_measured(tmp_path / "b"))]
    groups = united_groups(map(further, runs))
    assert [measure.name for measure in groups["Membership, mean over clients"]] == ["membership/loss_auc", "membership/rmia_auc"]


def test_a_comparison_shows_them_in_tables_and_as_json(tmp_path: Path) -> None:
    comparison = compare([write_measured(tmp_path / "plain", rmia=False), write_measured(tmp_path / "other")])
    first, second = comparison.rows()
    assert (first["further"]["membership/rmia_auc"], second["further"]["membership/rmia_auc"]) == (None, 0.515)
    text = io.StringIO()
    console = Console(width=120, file=text)
    for table in comparison.further_tables():
        console.print(table)
    assert "distance between updates" in text.getvalue()
    assert "near copies" in text.getvalue()


def test_the_reports_table_adds_counts_up_and_takes_the_mean_of_shares(tmp_path: Path) -> None:
    rows = dict(rows_of_measures(read_run(write_measured(tmp_path / "run"))))
    assert rows == {"rows made": ["10", "11", "12", "13", "46"], "near copies": ["0.0%", "10.0%", "20.0%", "30.0%", "15.0%"]}


def test_updates_are_drawn_over_rounds_in_a_panel_each(tmp_path: Path) -> None:
    drawn = update_curves(read_run(write_measured(tmp_path / "run")))
    assert [axes.get_title(loc="left") for axes in drawn.axes] == ["Distance between updates", "Cosine between updates"]
    assert drawn.axes[1].get_lines()[0].get_ydata() == pytest.approx([0.1, 0.2, 0.3, 0.4])
    assert update_curves(read_run(write_run(tmp_path / "without"))) is None
