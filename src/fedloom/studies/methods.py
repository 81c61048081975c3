"""The methods of FedLLM-Bench (arXiv 2406.04845) side by side: a sweep over algorithms and seeds of one of its federations."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from fedloom.algorithms import algorithms as known
from fedloom.errors import RecipeError
from fedloom.registry import settings_of
from fedloom.studies.sweep import Grid, plan_sweep

METHODS = ("local", "fedavg", "fedprox", "scaffold", "fedavgm", "fedadagrad", "fedyogi", "fedadam")
"""The methods of the published tables."""

LOCAL_CLIENTS = 3
"""Clients whose own models the suites are asked, unless the user says otherwise."""


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
    alone = ["evaluate.baselines=[base, local]", f"evaluate.local_clients={LOCAL_CLIENTS}"]
    baselines = alone if "local" in methods else ["evaluate.baselines=[base]"]
    axes = {"algorithm.name": algorithms, "seed": seeds}
    further = [one for word in words for one in _for_those_that_have_it(word, algorithms)]
    return plan_sweep(recipe, [*baselines, *further], folder, axes)


def _for_those_that_have_it(word: str, names: Sequence[str]) -> list[str]:
    """`algorithm.KEY=VALUE` of a setting that some of the algorithms `names` do not have, as the default of those that do."""
    part, _, rest = word.partition(".")
    key, _, value = rest.partition("=")
    having = [name for name in names if name in known and key in {setting.name for setting in settings_of(known.get(name))}]
    if part != "algorithm" or not having or len(having) == len(names):
        return [word]
    return [f"algorithm.defaults.{name}.{key}={value}" for name in having]
