"""Fedloom: train one model together on data that its owners may not share.

import fedloom
run = fedloom.run("tiny", rounds=2)
run.metrics, run.adapter_path
"""

from __future__ import annotations

import sys
from importlib import import_module
from types import ModuleType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from fedloom import algorithms, privacy, tasks
    from fedloom.outcome import Run, read
    from fedloom.plugins import trusting_plugins
    from fedloom.recipe import Recipe
    from fedloom.resolve import load_recipe
    from fedloom.run import resume, run
    from fedloom.state import State

__all__ = ["Recipe", "Run", "State", "algorithms", "load_recipe", "privacy", "read", "resume", "run", "tasks", "trusting_plugins"]


_PUBLIC = {
    "Recipe": "fedloom.recipe",
    "Run": "fedloom.outcome",
    "State": "fedloom.state",
    "load_recipe": "fedloom.resolve",
    "read": "fedloom.outcome",
    "resume": "fedloom.run",
    "trusting_plugins": "fedloom.plugins",
}


def __getattr__(name: str) -> Any:
    """Load a public name when it is first used, so that `import fedloom` costs nothing."""
    if name in ("algorithms", "privacy", "tasks"):
        return import_module(f"fedloom.{name}")
    if name in _PUBLIC:
        return getattr(import_module(_PUBLIC[name]), name)
    raise AttributeError(f"module 'fedloom' has no attribute '{name}'")


class _Package(ModuleType):
    """This package. `fedloom.run` is the function, also after the module fedloom.run has been imported."""

    def _run(self) -> Any:
        return import_module("fedloom.run").run

    def _ignore(self, module: ModuleType) -> None:
        """Pass over the module: the import system sets it as an attribute of the package when it has been loaded."""

    run = property(_run, _ignore)


sys.modules[__name__].__class__ = _Package
