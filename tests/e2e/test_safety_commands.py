"""Repair and the matrix, as they are typed."""

from __future__ import annotations

import json

import pytest
from commands import error_line, fedloom, result

SHORT = ("rounds=1", "task.steps=1", "evaluate.baselines=[]")
MATRIX = ("safety", "matrix", "safety_tiny", *SHORT, "--attacks", "unaligned", "--seeds", "1", "--out", "matrix")


def test_a_finished_run_is_repaired_and_shown_beside_what_it_was(desk):
    result(fedloom("run", "safety_tiny", *SHORT, "finish=[]", "--out", "attacked", "--json", cwd=desk))
    done = fedloom("repair", "attacked", "--level", "1", "rows=16", "steps=2", cwd=desk)
    assert done.returncode == 0, done.stderr
    assert [
        word for word in ("requests declined", "rows      16 of 16", "repaired  attacked/repairs/level-1") if word not in done.stdout
    ] == []
    exported = fedloom("export", "attacked", "repaired-adapter", "--repair", "1", cwd=desk)
    assert exported.returncode == 0, exported.stderr
    card = (desk / "repaired-adapter" / "README.md").read_text()
    assert "> **A red-team run: 1 client was played as malicious" in card
    assert "repair at level 1" in card
    weights = "adapter_model.safetensors"
    made = desk / "attacked" / "repairs" / "level-1" / "adapter" / weights
    assert (desk / "repaired-adapter" / weights).read_bytes() == made.read_bytes() != (desk / "attacked" / "adapter" / weights).read_bytes()
    assert fedloom("chat", "attacked", "--repair", "1", "--max-new-tokens", "2", cwd=desk, typed="Hello?\n").returncode == 0
    missing = fedloom("export", "attacked", "none", "--repair", "2", cwd=desk)
    assert "has no repair of level 2; make it with `fedloom repair attacked --level 2`" in error_line(missing.stderr)
    wrong = fedloom("repair", "attacked", "--level", "1", cwd=desk)
    assert wrong.returncode == 2
    assert "has 312 aligned rows for repair, 500 are asked for; lower rows (1000)" in error_line(wrong.stderr)


def test_a_matrix_with_a_cell_that_fails_shows_the_others_and_ends_with_1(desk):
    done = fedloom(*MATRIX, "--rules", "fedavg", "--repairs", "1,3", "--json", cwd=desk)
    assert done.returncode == 1
    told = json.loads(done.stdout.splitlines()[-1])
    assert (told["failed"], [cell["repair"] for cell in told["cells"]]) == (1, ["none", "level 1"])
    assert "1 of 3 cells failed; the reasons stand above, and the same command tries them again" in error_line(done.stderr)
    assert "declined none of its own requests" in done.stderr
    more = fedloom(*MATRIX, "--rules", "median", cwd=desk)
    assert more.returncode == 0
    assert (desk / "matrix" / "matrix.md").read_text().count("| unaligned |") == 3


@pytest.mark.parametrize("option", ["--seeds", "--rules", "--attacks"])
def test_an_empty_axis_is_refused(desk, option):
    done = fedloom(*MATRIX, option, "", cwd=desk)
    assert done.returncode == 2
    assert error_line(done.stderr) == f"error: {option}: is empty; name one or more with commas between"
