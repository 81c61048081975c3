"""A run that is asked to stop does so within seconds, says how to go on, and goes on to the same bytes."""

from __future__ import annotations

import json
import signal

import pytest
from commands import all_gone, error_line, fedloom, result, started, wait_for, workers_of

WORDS = ("tiny", "rounds=12", "evaluate.baselines=[local]", "evaluate.samples=0")


@pytest.fixture(scope="module")
def undisturbed(desk):
    return result(fedloom("run", *WORDS, "--out", "unstopped", "--json", cwd=desk))


def test_ctrl_c_in_a_round_and_a_polite_kill_in_a_baseline_lose_nothing(undisturbed, desk):
    folder = desk / "stopped"
    first_round = _there(folder / "checkpoints" / "round-00001.checkpoint")
    said = _stop(("run", *WORDS, "--out", folder, "--json"), folder, desk, signal.SIGINT, first_round)
    assert said["status"] == "stopped"
    said = _stop(("resume", folder, "--json"), folder, desk, signal.SIGTERM, _there(folder / "baselines" / "local-1" / "checkpoints"))
    assert said["rounds"] == 12
    _same(result(fedloom("resume", folder, "--json", cwd=desk)), undisturbed)


def test_with_two_workers_both_end_a_run_in_its_baselines_with_its_workers(desk):
    folder = desk / "stopped-workers"
    words = ("run", *WORDS, "workers=2", "--out", folder, "--json")
    _stop(words, folder, desk, signal.SIGINT, _there(folder / "baselines" / "local-1" / "checkpoints"))
    _stop(("resume", folder, "--json"), folder, desk, signal.SIGTERM, lambda process: len(workers_of(process)) == 2)


def _there(path):
    return lambda process: path.exists()


def _stop(words, folder, cwd, how, point):
    with started(*words, cwd=cwd) as process:
        wait_for(lambda: point(process), process)
        workers = workers_of(process)
        process.send_signal(how)
        stdout, stderr = process.communicate(timeout=60)
    assert process.returncode == 3
    assert error_line(stderr) == f"error: stopped; go on with `fedloom resume {folder}`"
    assert all_gone(workers)
    assert json.loads((folder / "manifest.json").read_text())["status"] == "stopped"
    assert (folder / "report.html").exists()
    return json.loads(stdout)


def _same(resumed, undisturbed):
    assert resumed["adapter_sha256"] == undisturbed["adapter_sha256"]
    assert resumed["metrics"] == undisturbed["metrics"]
