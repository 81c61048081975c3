"""The probes of a recipe as one function of a state, which the rounds call whenever they measure."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

from fedloom.errors import PartError
from fedloom.federation.observer import Observer
from fedloom.federation.run_folder import RunFolder
from fedloom.hooks import Probe, ServerSide
from fedloom.hooks import probes as known_probes
from fedloom.recipe import Recipe
from fedloom.registry import gave_numbers
from fedloom.state import State

BASE = "probe/base/"


def made_probes(recipe: Recipe) -> list[Probe]:
    return [known_probes.get(probe.kind)(**probe.settings) for probe in recipe.evaluate.probes]


def probing(
    probes: Sequence[Probe], server: ServerSide, folder: RunFolder, observer: Observer
) -> Callable[[State], dict[str, float]] | None:
    """A function that measures a state with all `probes`, and tells the observer when a measure has become worse than its alert allows."""
    if not probes:
        return None
    measures = {measure.name: measure for probe in probes for measure in probe.measures()}

    def measure(state: State) -> dict[str, float]:
        found = {name: value for probe in probes for name, value in _measured(probe, state, server).items()}
        for name in [name for name, value in found.items() if not math.isfinite(value)]:
            observer.note(f"the probe's measure '{name}' is not finite, and is left out")
            del found[name]
        first = {event["name"].removeprefix(BASE): event["value"] for event in folder.metrics() if event["name"].startswith(BASE)}
        for name, now in found.items():
            declared = measures.get(name)
            if declared is not None and name in first and declared.worsened(first[name], now):
                observer.note(f"alert: {declared.title} went from {declared.shown(first[name])} to {declared.shown(now)}")
        return found

    return measure


def _measured(probe: Probe, state: State, server: ServerSide) -> dict[str, float]:
    """What a probe measures. Raises PartError when it is not what the base class says."""
    who = f"{type(probe).__name__}.measure"
    found = gave_numbers(probe.measure(state, server), f"{who}: its result")
    declared = {measure.name for measure in probe.measures()}
    for name in found:
        if name not in declared:
            raise PartError(f"{who} gave '{name}', which its `measures` do not declare")
    return found
