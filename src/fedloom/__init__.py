"""Fedloom: train one model together on data that its owners may not share.

import fedloom
run = fedloom.run("tiny", rounds=2)
run.metrics, run.adapter_path
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from fedloom import algorithms, tasks
    from fedloom.recipe import Recipe, load_recipe
    from fedloom.run import Run, read, resume, run
    from fedloom.state import State

__all__ = ["Recipe", "Run", "State", "algorithms", "load_recipe", "read", "resume", "run", "tasks"]


def __getattr__(name: str) -> Any:
    """Load a public name when it is first used, so that `import fedloom` costs nothing."""
    from importlib import import_module

    if name in ("algorithms", "tasks"):
        return import_module(f"fedloom.{name}")
    if name in ("Recipe", "load_recipe"):
        return getattr(import_module("fedloom.recipe"), name)
    if name == "State":
        return import_module("fedloom.state").State
    if name in ("Run", "read", "resume", "run"):
        value = getattr(import_module("fedloom.run"), name)
        globals()[name] = value  # importing the module fedloom.run put the module itself under this name
        return value
    raise AttributeError(f"module 'fedloom' has no attribute '{name}'")
