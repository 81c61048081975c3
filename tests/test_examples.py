"""Every example runs with the command in its own docstring."""

from __future__ import annotations

import json
import re
import shlex
from pathlib import Path

import pytest

import fedloom
from fedloom.overrides import parse_overrides

ROOT = Path(__file__).parents[1]
EXAMPLES = sorted((ROOT / "examples").glob("*.py"))


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda path: path.stem)
def test_an_example_runs_with_the_command_in_its_docstring(example: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found = re.search(r"^    fedloom run (\S+) (.+)$", example.read_text(), re.MULTILINE)
    assert found, "the docstring should say how to run the example"
    monkeypatch.chdir(ROOT)
    overrides = parse_overrides(shlex.split(found[2])) | {"rounds": 2, "evaluate.every": 1, "evaluate.baselines": ["base"]}
    run = fedloom.run(found[1], tmp_path / "run", **overrides)
    assert run.status == "finished"
    assert run.rounds == 2
    assert run.metrics["federated/loss"] < run.metrics["base/loss"]


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda path: path.stem)
def test_an_example_fits_on_a_page(example: Path) -> None:
    assert len(example.read_text().splitlines()) < 60


def test_the_rows_of_an_own_source_are_private(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    settings = {"plugins": ["examples/own_source.py"], "data.source": "tickets", "data.partition.field": "shop", "rounds": 1}
    run = fedloom.run("tiny", tmp_path / "run", **settings, **{"evaluate.baselines": ["base"]})
    assert json.loads((run.folder / "samples.json").read_text()) == []
