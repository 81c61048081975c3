"""The benchmark scripts say what they are for, judge bounds rightly and go through without heavy work."""

import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

FOLDER = Path(__file__).parents[2] / "benchmarks"
SCRIPTS = (
    "aggregation",
    "dp_step",
    "generation",
    "picture_generation",
    "humans",
    "hostile_messages",
    "robust_rules",
    "memory_clients",
    "rounds_overhead",
    "step_vs_trl",
    "throughput",
    "traffic",
    "all",
)


@pytest.fixture
def promise_of(monkeypatch):
    spec = importlib.util.spec_from_file_location("promise", FOLDER / "promise.py")
    module = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, "promise", module)
    spec.loader.exec_module(module)
    return module.Promise


def run_script(name, *arguments, **environment):
    command = [sys.executable, str(FOLDER / f"{name}.py"), *arguments]
    return subprocess.run(command, env=os.environ | {"OMP_NUM_THREADS": "1"} | environment, capture_output=True, text=True)


@pytest.mark.parametrize("name", SCRIPTS)
def test_every_script_explains_itself_without_loading_a_model(name):
    done = run_script(name, "--help")
    assert done.returncode == 0
    assert "--tiny" in done.stdout


def test_all_runs_every_script_that_measures():
    measuring = {path.stem for path in FOLDER.glob("*.py") if "def measure(" in path.read_text()}
    source = (FOLDER / "all.py").read_text()
    assert measuring == set(SCRIPTS) - {"all"}
    assert all(f'"{name}"' in source for name in measuring)


def test_a_script_prints_one_object_for_each_promise():
    done = run_script("aggregation", "--tiny", "--json")
    assert done.returncode == 0, done.stderr
    promises = [json.loads(line) for line in done.stdout.splitlines()]
    assert len(promises) == 6
    assert {"name", "measured", "baseline", "ratio", "bound", "limit"} == set(promises[0])


def test_a_run_is_measured_with_a_tiny_model(tmp_path):
    done = run_script("memory_clients", "--tiny", FEDLOOM_HOME=str(tmp_path))
    assert done.returncode == 0, done.stderr
    assert "747 clients" in done.stdout


def test_a_bound_may_be_an_upper_or_a_lower_one(promise_of):
    assert promise_of("time", "", "", 1.04, "<=", 1.05).kept
    assert not promise_of("time", "", "", 1.06, "<=", 1.05).kept
    assert promise_of("speed", "", "", 3.1, ">=", 3.0).kept
    assert not promise_of("speed", "", "", 2.9, ">=", 3.0).kept
    assert promise_of("for information", "", "", 99.0).kept


def test_a_broken_promise_stands_out_in_the_table(promise_of):
    assert promise_of("time", "", "", 1.06, "<=", 1.05).cells()[-2:] == ("<= 1.05", "NO")
