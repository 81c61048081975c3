"""The probes of a recipe as one function of a state, which the rounds call whenever they measure."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from fedloom.federation.observer import Observer
from fedloom.federation.run_folder import RunFolder
from fedloom.hooks import Probe, ServerSide
from fedloom.hooks import probes as known_probes
from fedloom.recipe import Recipe
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
        found = {name: value for probe in probes for name, value in probe.measure(state, server).items()}
        first = {event["name"].removeprefix(BASE): event["value"] for event in folder.metrics() if event["name"].startswith(BASE)}
        for name, now in found.items():
            declared = measures.get(name)
            if declared is not None and name in first and declared.worsened(first[name], now):
                observer.note(f"alert: {declared.title} went from {declared.shown(first[name])} to {declared.shown(now)}")
        return found

    return measure
