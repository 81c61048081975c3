"""Runs of the program, and what they noted down."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from fedloom.federation.observer import Observer
from fedloom.federation.run_folder import RunFolder
from fedloom.outcome import Run
from fedloom.recipe import Recipe
from fedloom.run import run


def run_in(folder: Path, recipe: Recipe, overrides: Mapping[str, Any], observer: Observer | None = None) -> Run:
    """Run `recipe` with `overrides` (dotted keys) into the new `folder`."""
    return run(recipe, out=folder, observer=observer, **overrides)


def metric_of(done: Run, name: str, round_number: int | None = None) -> list[float]:
    """Every value of `name` in metrics.jsonl, in its order; of one round when `round_number` is given."""
    events = RunFolder(done.folder).metrics()
    return [event["value"] for event in events if event["name"] == name and round_number in (None, event["round"])]
