"""The run folder: measures, lengths that logs are cut back to, the manifest, one writer at a time."""

import os
import subprocess
import sys

import pytest

from fedloom.errors import FedloomError, RecipeError
from fedloom.federation.run_folder import RunFolder, existing_run, locked


def test_measures_come_back_as_they_were_recorded(tmp_path):
    folder = RunFolder(tmp_path / "run")
    assert folder.metric(1, "north", "train/loss", 2.5) == {"round": 1, "client": "north", "name": "train/loss", "value": 2.5}
    folder.metric(2, None, "update/norm", 0.5)
    assert [event["value"] for event in folder.metrics()] == [2.5, 0.5]


def test_logs_are_cut_back_to_what_a_checkpoint_noted(tmp_path):
    folder = RunFolder(tmp_path)
    folder.metric(1, None, "a", 1.0)
    lengths = folder.lengths()
    folder.metric(2, None, "b", 2.0)
    folder.wire.enter(2, "north", "down", "train", b"message")
    folder.cut(lengths)
    assert [event["name"] for event in folder.metrics()] == ["a"]
    assert folder.wire.total_bytes() == 0
    folder.cut({})
    assert folder.metrics() == []


def test_the_audit_log_is_never_cut(tmp_path):
    folder = RunFolder(tmp_path)
    folder.audit.enter("started")
    folder.cut({})
    assert "started" in (tmp_path / "audit.jsonl").read_text()


def test_facts_are_added_to_the_manifest(tmp_path):
    folder = RunFolder(tmp_path)
    assert folder.manifest() == {}
    folder.update_manifest(run="tiny", status="running")
    folder.update_manifest(status="finished")
    assert RunFolder(tmp_path).manifest() == {"run": "tiny", "status": "finished"}


def test_a_run_keeps_its_id_when_it_is_resumed(tmp_path):
    first = RunFolder(tmp_path / "one").run_id()
    assert RunFolder(tmp_path / "one").run_id() == first == RunFolder(tmp_path / "one").manifest()["id"]
    assert RunFolder(tmp_path / "two").run_id() != first
    assert len(bytes.fromhex(first)) == 16


@pytest.mark.parametrize(
    ("facts", "seconds"),
    [
        ({}, 0.0),
        ({"status": "finished", "seconds": 20.0, "running_since": 970.0}, 20.0),
        ({"status": "running", "running_since": 970.0}, 30.0),
        ({"status": "running", "seconds": 20.0, "running_since": 970.0}, 50.0),
        ({"status": "running", "seconds": 20.0, "running_since": 1005.0}, 20.0),  # killed before it wrote a line
    ],
)
def test_a_killed_run_took_time_until_its_last_line(tmp_path, facts, seconds):
    folder = RunFolder(tmp_path)
    folder.update_manifest(**facts)
    folder.metric(1, None, "a", 1.0)
    os.utime(tmp_path / "metrics.jsonl", (1000.0, 1000.0))
    assert folder.seconds_so_far() == seconds


def test_a_second_run_is_kept_out_of_the_folder(tmp_path):
    code = f"from pathlib import Path; from fedloom.federation.run_folder import locked\nwith locked(Path({str(tmp_path)!r})): pass"
    with locked(tmp_path):
        other = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
        with pytest.raises(RecipeError, match="another run is writing to this folder; choose another with --out"), locked(tmp_path):
            pass
    assert "another run is writing" in other.stderr
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0


def test_a_folder_without_a_recipe_is_no_run(tmp_path):
    with pytest.raises(RecipeError, match="is not a run folder"):
        existing_run(tmp_path)
    (tmp_path / "recipe.yaml").write_text("name: tiny\n")
    assert existing_run(tmp_path) == tmp_path


def test_a_run_below_a_file_is_answered_with_one_line(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises((FedloomError, NotADirectoryError)):
        RunFolder(tmp_path / "file" / "run")
