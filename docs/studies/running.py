"""Runs of a study, each in a folder of its own: one that was stopped goes on, one that is finished is not done again."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import fedloom
from fedloom.report.live import LiveView


def run_once(folder: Path, recipe: Mapping[str, Any]) -> fedloom.Run:
    """The run of `recipe` in `folder`, finished."""
    print(folder.name, file=sys.stderr)
    with LiveView() as view:
        if (folder / "manifest.json").exists():
            return fedloom.resume(folder, observer=view)
        return fedloom.run(recipe, out=folder, observer=view)
