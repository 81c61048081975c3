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
    assert first["measures"] == pytest.approx({"exact_match": 0.76, "loss": 0.62, "perplexity": 1.86})
    assert second["measures"]["exact_match"] == pytest.approx(0.81)
    assert (first["traffic_bytes"], first["seconds"]) == (470_400_000, 754.2)
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
    assert comparison.rows()[1]["measures"] == {"exact_match": None, "loss": None, "perplexity": None}
    assert "b (unfinished)" in _printed(comparison)
    assert svg(comparison.figure())


def test_a_diverged_run_is_compared_without_being_the_best(tmp_path: Path) -> None:
    second = write_run(tmp_path / "b")
    with (second / "metrics.jsonl").open("a") as file:
        file.write(json.dumps(event("held_out/federated/loss", float("nan"), 6)) + "\n")
    comparison = compare([write_run(tmp_path / "a"), second])
    assert comparison.rows()[1]["measures"]["loss"] is None
    assert "not finite" in _printed(comparison)
    assert svg(comparison.figure())


def test_runs_of_different_tasks_show_the_measures_of_all_with_a_dash_where_a_run_has_none(tmp_path: Path) -> None:
    old, pictures, views = (write_run(tmp_path / kind, kind=kind) for kind in ("old", "pictures", "views"))
    comparison = compare([old, pictures, views])
    assert list(comparison.runs[0].measures) == ["exact_match", "loss", "accuracy", "macro_f1", "psnr", "vertex_error"]
    assert [row["measures"]["psnr"] for row in comparison.rows()] == [None, None, pytest.approx(27.25)]
    assert [row["measures"]["loss"] for row in comparison.rows()] == [pytest.approx(0.62), pytest.approx(0.62), None]
    table = comparison.table()
    titles = [str(column.header).replace("\n", " ") for column in table.columns]
    cells = dict(zip(titles, ([str(cell) for cell in column.cells] for column in table.columns), strict=True))
    assert cells["PSNR (dB)"] == ["–", "–", "27.250"]
    assert cells["macro F1"] == ["–", "89.0%", "–"]
    assert cells["held-out loss (nats)"] == ["0.620", "0.620", "–"]
    assert "12 min 34 s" in _printed(comparison)
    figure = comparison.figure()
    drawn = [axes for axes in figure.axes if axes.axison]
    assert [axes.get_title(loc="left") for axes in drawn if axes.get_title(loc="left")] == [
        "Exact match",
        "Held-out loss (nats)",
        "Accuracy",
        "Macro F1",
        "PSNR (dB)",
        "Vertex error (cm)",
    ]
    assert len(drawn) == 12


def test_the_best_of_a_measure_is_bold_whichever_direction_is_better(tmp_path: Path) -> None:
    first, second = write_run(tmp_path / "a", kind="views"), write_run(tmp_path / "b", kind="views")
    lines = [json.loads(line) for line in (second / "metrics.jsonl").read_text().splitlines()]
    for line in lines:
        if line["name"].startswith("held_out/federated/") and not line["name"].endswith("/rows"):
            line["value"] += 1.0
    (second / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    columns = {
        str(column.header).replace("\n", " "): [cell.style for cell in column.cells]
        for column in compare([first, second]).table().columns[3:5]
    }
    assert columns == {"PSNR (dB)": ["", "bold"], "vertex error (cm)": ["bold", ""]}


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
