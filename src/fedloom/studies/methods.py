"""The methods of FedLLM-Bench (arXiv 2406.04845) side by side: a sweep over algorithms and seeds of one of its federations."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from fedloom.errors import RecipeError
from fedloom.studies.sweep import Grid, plan_sweep

METHODS = ("local", "fedavg", "fedprox", "scaffold", "fedavgm", "fedadagrad", "fedyogi", "fedadam")
"""The methods of the published tables."""

WITH_MOMENTUM = ("fedavgm", "fedyogi", "fedadam")
MOMENTUM = 0.5
"""beta1 of these in the published runs, where OpenFedLLM has 0.9."""


def plan_methods(recipe: str, methods: Sequence[str], seeds: Sequence[int], words: Sequence[str], folder: Path) -> Grid:
    """A checked sweep of `recipe` over `methods` and `seeds`; `words` are further overrides. `local` is the baseline of every client alone.

    Raises RecipeError for a method that is unknown or named twice, and where there is no algorithm to run.
    """
    if len(set(methods)) < len(methods):
        raise RecipeError("--methods: names a method twice; name each once")
    algorithms = [method for method in methods if method != "local"]
    if len(set(seeds)) < len(seeds):
        raise RecipeError("--seeds: names a seed twice; name each once")
    if not algorithms:
        raise RecipeError("--methods: name an algorithm beside local, such as local,fedavg; each client alone is its baseline")
    baselines = ["evaluate.baselines=[base, local]" if "local" in methods else "evaluate.baselines=[base]"]
    axes = {"algorithm.name": algorithms, "seed": seeds}
    return plan_sweep(recipe, [*baselines, *words], folder, _published, axes)


def _published(chosen: Mapping[str, Any]) -> dict[str, Any]:
    """The published setting of the algorithm of a cell, where it differs from that of OpenFedLLM."""
    return {"algorithm.beta1": MOMENTUM} if chosen.get("algorithm.name") in WITH_MOMENTUM else {}
