"""The preference tasks as a user runs them: the real command on generated pairs, from rows to a reported result."""

import json
import os
import subprocess
import sys

import pytest

SHORT = ("rounds=2", "task.learning_rate=0.02", "evaluate.every=2", "evaluate.baselines=[base]", "evaluate.samples=0")


def fedloom(*words, home):
    environment = os.environ | {"FEDLOOM_HOME": str(home), "OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1"}
    return subprocess.run([sys.executable, "-m", "fedloom", *words], cwd=home, env=environment, capture_output=True, text=True, timeout=120)


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    return tmp_path_factory.mktemp("home")


@pytest.mark.parametrize("kind", ["dpo", "orpo", "kto"])
def test_two_rounds_on_generated_pairs_beat_the_base(kind, home):
    done = fedloom("run", "tiny", f"task.kind={kind}", "data.source=tiny-pairs", *SHORT, "--out", kind, "--json", home=home)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout.splitlines()[-1])
    assert (found["status"], found["rounds"]) == ("finished", 2)
    assert found["metrics"]["federated/loss"] < found["metrics"]["base/loss"]
    assert (home / kind / "adapter" / "adapter_model.safetensors").is_file()


def test_a_preference_task_on_plain_rows_is_one_line(home):
    done = fedloom("run", "tiny", "task.kind=dpo", "--out", "plain", home=home)
    assert done.returncode == 2
    assert "error: client 'east': task.kind: dpo needs preference pairs" in done.stderr.splitlines()[-1]
