"""A run that is killed, wherever it is, and resumed ends in the same bytes and the same measures as one that was left alone."""

from __future__ import annotations

import pytest
from commands import all_gone, fedloom, result, started, wait_for, workers_of

from fedloom.files import read_lines

WORDS = ("tiny", "rounds=3", "evaluate.every=1", "evaluate.baselines=[base,local]", "evaluate.samples=0")


@pytest.fixture(scope="module")
def undisturbed(desk):
    return result(fedloom("run", *WORDS, "--out", "undisturbed", "--json", cwd=desk))


def test_a_run_killed_at_four_points_in_turn_ends_in_the_same_bytes(undisturbed, desk):
    folder = desk / "killed"
    _kill(("run", *WORDS, "--out", folder), desk, (folder / "metrics.jsonl").exists)
    assert not list(folder.glob("checkpoints/round-00001*")), "the first kill was meant for the time before round 1"
    _kill(("resume", folder), desk, lambda: _entered(folder, round=2, kind="update"))
    _kill(("resume", folder), desk, lambda: _entered(folder, round=2, kind="measures"))
    _kill(("resume", folder), desk, (folder / "baselines" / "local-1" / "checkpoints").exists)
    _same(result(fedloom("resume", folder, "--json", cwd=desk)), undisturbed)


def test_with_two_workers_a_killed_run_leaves_no_worker_and_ends_in_the_same_bytes(undisturbed, desk):
    folder = desk / "killed-workers"
    _kill(("run", *WORDS, "workers=2", "--out", folder), desk, lambda: _entered(folder, round=2, kind="update"), workers=2)
    _kill(("resume", folder), desk, (folder / "baselines" / "local-3" / "checkpoints").exists, workers=2)
    _same(result(fedloom("resume", folder, "--json", cwd=desk)), undisturbed)


def _kill(words, cwd, point, workers=0):
    with started(*words, cwd=cwd) as process:
        wait_for(point, process)
        workers_then = workers_of(process)
        process.kill()
        process.communicate()
    assert len(workers_then) == workers
    assert all_gone(workers_then)


def _entered(folder, **facts):
    return any(all(line[key] == value for key, value in facts.items()) for line in read_lines(folder / "wire.jsonl"))


def _same(resumed, undisturbed):
    assert resumed["adapter_sha256"] == undisturbed["adapter_sha256"]
    assert resumed["metrics"] == undisturbed["metrics"]
    assert resumed["rounds"] == 3
