"""Owners on other machines, as far as one machine shows it: the same bytes, and nothing of theirs is opened by the server."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
import sites_elsewhere

import fedloom
from fedloom.files import read_lines

OWNERS = {"clinic": "Is there a fine?", "library": "When is it due?", "workshop": "Is it mended?"}


@pytest.fixture(scope="module")
def owners(tmp_path_factory):
    """A folder per owner with a file of rows, and one folder with all files for a run on one machine."""
    folder, together = tmp_path_factory.mktemp("owners"), tmp_path_factory.mktemp("together")
    for owner, question in OWNERS.items():
        rows = [{"instruction": f"{question} ({number})", "output": f"{owner} says {number % 3}"} for number in range(12)]
        text = "".join(json.dumps(row) + "\n" for row in rows)
        (folder / owner / "rows").mkdir(parents=True)
        (folder / owner / "rows" / f"{owner}.jsonl").write_text(text)
        (together / f"{owner}.jsonl").write_text(text)
    return folder, together


@pytest.fixture(scope="module")
def served(owners, tmp_path_factory):
    """(what the server printed, its run folder)."""
    out = tmp_path_factory.mktemp("server")
    command = [sys.executable, sites_elsewhere.__file__, "server", str(out), str(owners[0]), *OWNERS]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1]), out


def test_sites_in_other_processes_end_in_the_bytes_of_a_run_on_one_machine(served, owners, tmp_path):
    local = fedloom.run(sites_elsewhere.RECIPE, tmp_path / "local", **{"data.source": str(owners[1])})
    assert served[0]["state"] == local.state.sha256()
    assert served[0]["train"] == dict.fromkeys(OWNERS, 9)


def test_the_server_learns_of_the_rows_what_the_sites_say_and_no_more(served):
    _, out = served
    written = "".join(path.read_text(errors="ignore") for path in out.rglob("*") if path.is_file())
    for owner, question in OWNERS.items():
        assert question not in written
        assert f"{owner} says" not in written
    kinds = {(entry["direction"], entry["kind"]) for entry in read_lines(out / "wire.jsonl")}
    assert kinds == {(way, kind) for way, kinds in (("down", ("evaluate", "train")), ("up", ("measures", "update"))) for kind in kinds} | {
        ("down", "join"),
        ("up", "joined"),
        ("down", "prepare"),
        ("up", "prepared"),
    }


def test_each_site_keeps_its_memory_and_its_audit_log_to_itself(served, owners):
    _, out = served
    assert not list(out.rglob("*.memory"))
    for owner in OWNERS:
        site = owners[0] / owner / "site"
        assert list(site.rglob("*.memory"))
        events = [entry["event"] for entry in read_lines(site / "audit.jsonl")]
        assert events == ["join", "prepare", "evaluate", *["train", "evaluate"] * 3]


def test_the_process_that_serves_cannot_open_what_is_theirs(owners):
    script = (
        f"from sites_elsewhere import forbid; forbid({str(owners[0])!r}); open({str(owners[0] / 'clinic' / 'rows' / 'clinic.jsonl')!r})"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=Path(sites_elsewhere.__file__).parent, capture_output=True, text=True, timeout=60, check=False
    )
    assert "PermissionError: the server opened" in done.stderr
