"""Reading a run folder back."""

from __future__ import annotations

import json
import math
from pathlib import Path

import pytest
from run_folders import DECLARED, OWNERS, event, write_run

from fedloom.errors import FedloomError, RecipeError
from fedloom.measures import Measure
from fedloom.report.record import dotted, read_run, united


def test_a_run_folder_reads_back_as_it_was_written(tmp_path: Path) -> None:
    record = read_run(write_run(tmp_path / "run"))
    assert record.clients() == list(OWNERS)
    assert record.systems() == ["base", "majority", "local", "federated", "centralized"]
    assert record.rounds_done() == 6
    assert record.wire.messages == 48
    assert record.wire.bytes == 48 * 9_800_000
    assert record.samples[0].after == "more likely"
    assert record.recipe_value("algorithm.name") == "fedavg"
    assert record.recipe_value("algorithm.name.nothing") is None


def test_a_series_rises_by_round_and_its_final_value_is_of_the_last_round(tmp_path: Path) -> None:
    record = read_run(write_run(tmp_path / "run"))
    assert [round_ for round_, _ in record.series("held_out/federated/loss")] == [2, 4, 6]
    assert record.final("held_out/federated/exact_match") == pytest.approx(0.76)
    assert record.total("traffic/up_bytes", "clinic") == 6 * 9_800_000
    assert record.final("held_out/federated/nothing") is None


def test_a_round_that_a_resumed_run_repeats_counts_once(tmp_path: Path) -> None:
    folder = write_run(tmp_path / "run")
    _write_metrics(folder, [event("train/loss", 2.0, 1), event("train/loss", 9.0, 2), event("train/loss", 1.5, 2)])
    assert read_run(folder).series("train/loss") == [(1, 2.0), (2, 1.5)]


def test_a_value_of_the_whole_run_is_final_only_where_no_round_has_one(tmp_path: Path) -> None:
    folder = write_run(tmp_path / "run")
    _write_metrics(folder, [event("round/seconds", 5.0, 0), event("round/seconds", 7.0)])
    record = read_run(folder)
    assert record.final("round/seconds") == 5.0
    assert record.series("round/seconds") == [(0, 5.0)]


def test_a_torn_last_line_is_left_out(tmp_path: Path) -> None:
    folder = write_run(tmp_path / "run")
    whole = read_run(folder)
    with (folder / "metrics.jsonl").open("a") as file:
        file.write('{"round": 7, "client": nu')
    record = read_run(folder)
    assert record.metrics == whole.metrics
    assert record.damaged == ()


def test_a_damaged_line_is_named_and_the_rest_is_read(tmp_path: Path) -> None:
    folder = write_run(tmp_path / "run")
    lines = (folder / "metrics.jsonl").read_text().splitlines()
    lines[1] = lines[1][:20] + lines[1]
    lines[3] = json.dumps({"round": 1, "client": None, "name": "train/loss", "value": "low"})
    lines[5] = json.dumps({"round": 1, "client": None, "name": "train/loss", "value": None})
    (folder / "metrics.jsonl").write_text("\n".join(lines) + "\n")
    record = read_run(folder)
    assert sorted(record.damaged) == ["metrics.jsonl:2", "metrics.jsonl:4"]
    assert len(record.metrics) == len(lines) - 2
    assert [math.isnan(event.value) for event in record.metrics if event.name == "train/loss" and event.client is None][:1] == [True]


def test_a_run_that_has_only_begun_is_a_run(tmp_path: Path) -> None:
    folder = write_run(tmp_path / "run")
    for path in folder.iterdir():
        if path.name != "recipe.yaml":
            path.unlink()
    record = read_run(folder)
    assert record.clients() == []
    assert record.systems() == []
    assert record.rounds_done() == 0


def test_a_folder_that_is_no_run_is_refused_in_one_line(tmp_path: Path) -> None:
    for path in (tmp_path, tmp_path / "missing"):
        with pytest.raises(RecipeError, match="give a folder that `fedloom run` has written") as caught:
            read_run(path)
        assert "\n" not in str(caught.value)
        assert str(path) in str(caught.value)


@pytest.mark.parametrize("name", ["recipe.yaml", "manifest.json", "samples.json"])
def test_a_damaged_file_is_named(tmp_path: Path, name: str) -> None:
    folder = write_run(tmp_path / "run")
    (folder / name).write_text('"just text')
    with pytest.raises(FedloomError, match=name):
        read_run(folder)


def test_the_measures_are_those_that_the_manifest_declares_in_its_order(tmp_path: Path) -> None:
    for kind, measures in DECLARED.items():
        assert read_run(write_run(tmp_path / kind, kind=kind)).measures == measures


def test_a_run_from_before_declarations_has_the_two_measures_that_it_could_have(tmp_path: Path) -> None:
    record = read_run(write_run(tmp_path / "run", kind="old"))
    assert [(measure.name, measure.title, measure.unit, measure.better) for measure in record.measures] == [
        ("exact_match", "exact match", "share", "higher"),
        ("loss", "held-out loss", "nats", "lower"),
    ]
    assert record.probe_measures == record.finish_measures == ()
    _write_metrics(record.folder, [event("held_out/federated/loss", 1.0, 2)])
    assert [measure.name for measure in read_run(record.folder).measures] == ["loss"]


def test_what_nothing_declares_comes_last_as_a_plain_number_and_the_number_of_rows_is_no_measure(tmp_path: Path) -> None:
    folder = write_run(tmp_path / "run", kind="views")
    events = [("held_out", "federated/a_b"), ("held_out", "federated/rows"), ("probe", "federated/mine/refusal"), ("finish", "repair/rows")]
    _write_metrics(folder, [event(f"{kind}/{name}", 1.0) for kind, name in events])
    record = read_run(folder)
    assert [measure.name for measure in record.measures] == ["psnr", "vertex_error", "a_b"]
    assert record.measures[-1] == Measure("a_b", "a b", "", "neither")
    assert record.probe_measures == (Measure("mine/refusal", "mine/refusal", "", "neither"),), "this run declares its measures"
    assert [measure.name for measure in record.finish_measures] == ["rows"]
    assert (record.systems("probe"), record.systems("finish")) == (["federated"], ["repair"])


def test_a_damaged_declaration_is_passed_over(tmp_path: Path) -> None:
    folder = write_run(tmp_path / "run", kind="views")
    manifest = json.loads((folder / "manifest.json").read_text())
    manifest["measures"] = {
        "held_out": ["psnr", {"name": "psnr"}, {"name": "vertex_error", "title": "error", "colour": "red"}],
        "probes": None,
    }
    (folder / "manifest.json").write_text(json.dumps(manifest))
    assert [measure.title for measure in read_run(folder).measures] == ["error", "psnr"]


def test_the_measures_of_several_runs_are_united_by_name(tmp_path: Path) -> None:
    records = [read_run(write_run(tmp_path / kind, kind=kind)) for kind in ("old", "pictures")]
    found = united(record.measures for record in records)
    assert [measure.name for measure in found] == ["exact_match", "loss", "accuracy", "macro_f1"]


def test_dotted_keys_reach_into_every_part() -> None:
    assert dotted({"a": {"b": 1, "c": {"d": [2]}}, "e": None}) == {"a.b": 1, "a.c.d": [2], "e": None}


def _write_metrics(folder: Path, events: list[dict]) -> None:
    (folder / "metrics.jsonl").write_text("".join(json.dumps(item) + "\n" for item in events))


@pytest.mark.parametrize(
    ("part", "key"),
    [
        ({"seconds": "x"}, "seconds"),
        ({"model": 5}, "model"),
        ({"data": 3}, "data"),
        ({"data": {"clients": [{"client": "a", "train": "x"}]}}, "data"),
        ({"measures": []}, "measures"),
    ],
)
def test_a_manifest_whose_parts_have_other_types_is_damaged(tmp_path: Path, part: dict, key: str) -> None:
    folder = write_run(tmp_path / "run")
    manifest = json.loads((folder / "manifest.json").read_text())
    (folder / "manifest.json").write_text(json.dumps(manifest | part))
    with pytest.raises(FedloomError, match=f"manifest.json: is damaged \\('{key}' is not as a run writes it\\)"):
        read_run(folder)
