"""A run folder, read back: recipe, manifest, metrics, sample answers and the totals of the wire log.

Everything that shows a run goes through `RunRecord`. An unfinished run is a run: what is not there yet is empty, never an error.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import yaml

from fedloom.errors import FedloomError, RecipeError
from fedloom.files import local_path

SYSTEMS = ("base", "majority", "local", "federated", "finished", "centralized")
"""What is measured on held-out data, in the order in which it is shown."""


@dataclass(frozen=True)
class Event:
    """One line of metrics.jsonl. `client` null: of all clients together; `round` null: of the whole run."""

    round: int | None
    client: str | None
    name: str
    value: float


@dataclass(frozen=True, repr=False)
class Sample:
    """One answer before and after training. Only public data is ever sampled."""

    client: str
    prompt: str
    reference: str
    before: str
    after: str


@dataclass(frozen=True)
class WireTotals:
    """What crossed between server and clients, in messages and bytes."""

    messages: int = 0
    bytes: int = 0


@dataclass(frozen=True)
class RunRecord:
    """What is known of one run. `damaged` names the lines ("metrics.jsonl:12") that could not be read and are left out."""

    folder: Path
    recipe: Mapping[str, Any]
    manifest: Mapping[str, Any] = field(default_factory=dict)
    metrics: tuple[Event, ...] = ()
    samples: tuple[Sample, ...] = ()
    wire: WireTotals = WireTotals()
    damaged: tuple[str, ...] = ()

    def series(self, name: str, client: str | None = None) -> list[tuple[int, float]]:
        """(round, value) of a metric by rising round. A round that was repeated after a restart counts once, as last written."""
        by_round = self._values.get((name, client), {})
        return sorted((round_, value) for round_, value in by_round.items() if round_ is not None)

    def final(self, name: str, client: str | None = None) -> float | None:
        """The value of a metric after the latest round that has one; None when it was never measured."""
        by_round = self._values.get((name, client))
        if not by_round:
            return None
        return by_round[max(by_round, key=lambda round_: -1 if round_ is None else round_)]

    def total(self, name: str, client: str | None = None) -> float:
        """The sum of a metric over the rounds."""
        return sum(value for _, value in self.series(name, client))

    def systems(self) -> list[str]:
        """The systems with held-out results: base, majority, local, federated, centralized, then any others."""
        seen = dict.fromkeys(name.split("/")[1] for name, _ in self._values if name.startswith("held_out/") and name.count("/") == 2)
        return [system for system in SYSTEMS if system in seen] + [system for system in seen if system not in SYSTEMS]

    def clients(self) -> list[str]:
        """All clients, in the order of the manifest, then of their first event."""
        from_manifest = [str(row["client"]) for row in self.holdings() if row.get("client") is not None]
        return list(dict.fromkeys(from_manifest + [client for _, client in self._values if client is not None]))

    def holdings(self) -> list[Mapping[str, Any]]:
        """Who holds what: a row per client with `client`, `train`, `held_out` and whatever else the data summary counts."""
        data = self.manifest.get("data")
        rows = data.get("clients") if isinstance(data, Mapping) else None
        return [row for row in rows if isinstance(row, Mapping)] if isinstance(rows, list) else []

    def rounds_done(self) -> int:
        """The last round that anything was measured in."""
        return max((event.round for event in self.metrics if event.round is not None), default=0)

    def recipe_value(self, key: str) -> Any:
        """The recipe's value at a dotted key; None when there is none."""
        value: Any = self.recipe
        for step in key.split("."):
            value = value.get(step) if isinstance(value, Mapping) else None
        return value

    @cached_property
    def _values(self) -> dict[tuple[str, str | None], dict[int | None, float]]:
        found: dict[tuple[str, str | None], dict[int | None, float]] = {}
        for event in self.metrics:
            found.setdefault((event.name, event.client), {})[event.round] = event.value
        return found


def read_run(path: str | Path) -> RunRecord:
    """The record of the run in the folder `path`.

    Raises RecipeError when the folder is no run, FedloomError when its recipe, manifest or samples are damaged. Damaged lines of the
    metrics are named in `damaged`; a torn last line, which a killed run leaves behind, is left out.
    """
    folder = local_path(path)
    if not (folder / "recipe.yaml").is_file():
        what = "has no recipe.yaml, so it is not a run folder" if folder.is_dir() else "no such run folder"
        raise RecipeError(f"{folder}: {what}; give a folder that `fedloom run` has written")
    lines, damaged = _read_objects(folder / "metrics.jsonl")
    events, no_events = _events(lines)
    wire_lines, damaged_wire = _read_objects(folder / "wire.jsonl")
    return RunRecord(
        folder,
        _read_recipe(folder / "recipe.yaml"),
        _read_json(folder / "manifest.json", dict),
        tuple(events),
        tuple(_sample(item) for item in _read_json(folder / "samples.json", list) if isinstance(item, dict)),
        WireTotals(len(wire_lines), sum(int(line.get("bytes") or 0) for _, line in wire_lines)),
        tuple(damaged + no_events + damaged_wire),
    )


def dotted(part: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """A nested mapping as one of dotted keys: {"a": {"b": 1}} -> {"a.b": 1}."""
    found: dict[str, Any] = {}
    for key, value in part.items():
        found |= dotted(value, f"{prefix}{key}.") if isinstance(value, Mapping) else {f"{prefix}{key}": value}
    return found


def _read_recipe(path: Path) -> dict[str, Any]:
    try:
        recipe = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (yaml.YAMLError, UnicodeDecodeError):
        recipe = None
    if not isinstance(recipe, dict):
        raise FedloomError(f"{path}: is not a recipe in YAML; restore the file from a copy of the run")
    return recipe


def _read_json(path: Path, kind: type) -> Any:
    """The content of a JSON file that should hold a `kind`; an empty one when there is no file."""
    if not path.is_file():
        return kind()
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except ValueError:
        content = None
    if not isinstance(content, kind):
        raise FedloomError(
            f"{path}: should hold a JSON {'object' if kind is dict else 'list'}; restore it from a copy of the run, or delete it"
        )
    return content


def _read_objects(path: Path) -> tuple[list[tuple[str, dict[str, Any]]], list[str]]:
    """("file:line", object) for each readable line of a JSONL file, and the "file:line" of the others."""
    if not path.is_file():
        return [], []
    objects, damaged = [], []
    for number, line in enumerate(path.read_bytes().split(b"\n")[:-1], start=1):
        place = f"{path.name}:{number}"
        try:
            content = json.loads(line)
        except ValueError:
            content = None
        if isinstance(content, dict):
            objects.append((place, content))
        else:
            damaged.append(place)
    return objects, damaged


def _events(lines: list[tuple[str, dict[str, Any]]]) -> tuple[list[Event], list[str]]:
    events, damaged = [], []
    for place, line in lines:
        try:
            round_ = None if line.get("round") is None else int(line["round"])
            client = None if line.get("client") is None else str(line["client"])
            events.append(Event(round_, client, str(line["name"]), float(line["value"])))
        except (KeyError, TypeError, ValueError):
            damaged.append(place)
    return events, damaged


def _sample(item: Mapping[str, Any]) -> Sample:
    return Sample(*(str(item.get(key) or "") for key in ("client", "prompt", "reference", "before", "after")))
