"""Several runs side by side."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from rich.console import Console
from run_folders import event, write_run

from fedloom.errors import RecipeError
from fedloom.report.compare import Comparison, compare
from fedloom.report.drawing import svg


@pytest.fixture
def comparison(tmp_path: Path) -> Comparison:
    first = write_run(tmp_path / "averaged")
    second = write_run(tmp_path / "corrected", better=0.05, algorithm={"name": "scaffold", "variant": "paper_code"})
    return compare([first, second])


def test_runs_stand_side_by_side_with_results_and_costs(comparison: Comparison) -> None:
    first, second = comparison.rows()
    assert (first["name"], first["algorithm"], first["rounds"]) == ("averaged", "fedavg", 6)
    assert first["exact_match"] == pytest.approx(0.76)
    assert second["exact_match"] == pytest.approx(0.81)
    assert (first["held_out_loss"], first["traffic_bytes"], first["seconds"]) == (pytest.approx(0.62), 470_400_000, 754.2)
    assert json.loads(json.dumps(comparison.rows())) == comparison.rows()


def test_only_the_keys_that_differ_are_named(comparison: Comparison) -> None:
    assert [row["differs"] for row in comparison.rows()] == [{"algorithm.name": "fedavg"}, {"algorithm.name": "scaffold"}]
    assert comparison.notes == ()


def test_a_key_that_one_run_lacks_differs(tmp_path: Path) -> None:
    first = write_run(tmp_path / "a")
    second = write_run(tmp_path / "b", algorithm={"name": "fedavg", "variant": "paper_code", "prox_mu": 0.1})
    assert [run.differs for run in compare([first, second]).runs] == [{"algorithm.prox_mu": None}, {"algorithm.prox_mu": 0.1}]


def test_runs_on_other_data_are_not_compared_in_silence(tmp_path: Path) -> None:
    first, second = write_run(tmp_path / "a"), write_run(tmp_path / "b")
    manifest = json.loads((second / "manifest.json").read_text())
    manifest["data"]["sha256"] = "e" * 64
    (second / "manifest.json").write_text(json.dumps(manifest))
    assert any("different data" in note for note in compare([first, second]).notes)


def test_another_seed_and_other_rounds_are_noted(tmp_path: Path) -> None:
    notes = compare([write_run(tmp_path / "a"), write_run(tmp_path / "b", rounds=4, seed=8)]).notes
    assert any("seed" in note for note in notes)
    assert any("number of rounds" in note for note in notes)


def test_runs_of_the_same_name_are_told_apart_by_their_path(tmp_path: Path) -> None:
    first, second = write_run(tmp_path / "a" / "run"), write_run(tmp_path / "b" / "run")
    assert [run.name for run in compare([first, second]).runs] == [str(first), str(second)]


def test_an_unfinished_run_is_compared_too(tmp_path: Path) -> None:
    second = write_run(tmp_path / "b")
    for name in ("manifest.json", "metrics.jsonl", "wire.jsonl"):
        (second / name).unlink()
    comparison = compare([write_run(tmp_path / "a"), second])
    assert comparison.rows()[1]["exact_match"] is None
    assert "b (unfinished)" in _printed(comparison)
    assert svg(comparison.figure())


def test_a_diverged_run_is_compared_without_being_the_best(tmp_path: Path) -> None:
    second = write_run(tmp_path / "b")
    with (second / "metrics.jsonl").open("a") as file:
        file.write(json.dumps(event("held_out/federated/loss", float("nan"), 6)) + "\n")
    comparison = compare([write_run(tmp_path / "a"), second])
    assert comparison.rows()[1]["held_out_loss"] is None
    assert "not finite" in _printed(comparison)
    assert svg(comparison.figure())


def test_the_table_shows_every_run(comparison: Comparison) -> None:
    printed = _printed(comparison)
    for expected in ("averaged", "corrected", "scaffold", "76.0%", "81.0%", "470.4 MB", "12 min 34 s"):
        assert expected in printed


def test_the_figure_is_the_same_for_the_same_runs(comparison: Comparison) -> None:
    assert svg(comparison.figure()) == svg(comparison.figure())


def test_one_run_alone_is_nothing_to_compare(tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match="at least two"):
        compare([write_run(tmp_path / "a")])


def _printed(comparison: Comparison) -> str:
    console = Console(width=120, color_system=None)
    with console.capture() as capture:
        console.print(comparison.table())
    return capture.get()
