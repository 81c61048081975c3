"""A run folder, read back: recipe, manifest, metrics, measures, sample answers and the totals of the wire log.

Everything that shows a run reads it through `RunRecord`. An unfinished run can be read too: what it has not written yet is empty.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, TypeVar

from fedloom.errors import FedloomError, RecipeError
from fedloom.evaluation.evaluated import FOLDER
from fedloom.evaluation.intervals import Interval
from fedloom.evaluation.suite import named_in
from fedloom.files import local_path, read_json
from fedloom.measures import Measure
from fedloom.report.undeclared import held_out_measures, probe_measures, unknown_measure
from fedloom.yaml_text import YamlError, parse_yaml

T = TypeVar("T")

SYSTEMS = ("base", "majority", "local", "local_own", "federated", "clustered", "finetuned", "finished", "centralized")
"""The systems that are measured, in the order in which they are shown."""

ROWS = "rows"
"""`held_out/<system>/rows` is the number of rows that were measured; it is no measure of a system."""


AUDIT = "audit_privacy.json"
"""What `fedloom audit privacy` has found, in the run folder."""


@dataclass(frozen=True)
class Event:
    """One line of metrics.jsonl. `client` is None for all clients together; `round` is None for the whole run."""

    round: int | None
    client: str | None
    name: str
    value: float


@dataclass(frozen=True, repr=False)
class Sample:
    """One answer before and after training. Only prompts from public data are sampled. `system` is empty where there is no system turn."""

    client: str
    system: str
    prompt: str
    reference: str
    before: str
    after: str


@dataclass(frozen=True)
class WireTotals:
    """Number and size of the messages between server and clients."""

    messages: int = 0
    bytes: int = 0


@dataclass(frozen=True)
class RunRecord:
    """What one run folder holds. `pairs` were written from public documents: client, question, answer, text, file, place. `pictures` are
    own and generated ones of clients with public rows: client, label, made, size, pixels.
    `synthetic` are rows that finish steps made up and trained on, `rejected` those that they did not, with their `reason`. `audit` is what
    `fedloom audit privacy` has found; empty: it was not audited. `suites` are the results of suites, by their names.

    `damaged` names the lines ("metrics.jsonl:12") that could not be read and are left out."""

    folder: Path
    recipe: Mapping[str, Any]
    manifest: Mapping[str, Any] = field(default_factory=dict)
    metrics: tuple[Event, ...] = ()
    samples: tuple[Sample, ...] = ()
    pairs: tuple[Mapping[str, str], ...] = ()
    pictures: tuple[Mapping[str, str], ...] = ()
    synthetic: tuple[Mapping[str, Any], ...] = ()
    rejected: tuple[Mapping[str, Any], ...] = ()
    wire: WireTotals = WireTotals()
    damaged: tuple[str, ...] = ()
    audit: Mapping[str, Any] = field(default_factory=dict)
    suites: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)

    def series(self, name: str, client: str | None = None) -> list[tuple[int, float]]:
        """(round, value) of a metric, sorted by round. A round that was repeated after a restart counts once, with its last value."""
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

    @cached_property
    def measures(self) -> tuple[Measure, ...]:
        """The held-out measures in the order in which they are shown: the declared ones, then others that the metrics hold."""
        found = [name for name in self._names("held_out") if name != ROWS]
        return self._declared("held_out", found, held_out_measures(found, self.recipe_value("task.kind")))

    @cached_property
    def probe_measures(self) -> tuple[Measure, ...]:
        """The measures of the probes, in the order of `measures`."""
        found = self._names("probe")
        declared = self._declared("probes", found, probe_measures(found))
        return tuple(self._of_suites.get(measure.name, measure) for measure in declared)

    def interval(self, system: str, measure: str) -> Interval | None:
        """The interval of the measure SUITE/NAME of `system`, where the value of the run is the one that the results of the suite hold."""
        suite, _, name = measure.partition("/")
        kept = self.suites.get(suite, {}).get("systems", {}).get(system, {}).get(name)
        return Interval(**kept) if kept and kept["value"] == self.final(f"probe/{system}/{measure}") else None

    @cached_property
    def _of_suites(self) -> dict[str, Measure]:
        """SUITE/NAME -> the measure as the results of the suite declare it: of some suites it is known only there."""
        declared = [(name, Measure.from_plain(one)) for name, kept in self.suites.items() for one in kept.get("measures", ())]
        return {(named := named_in(name, measure)).name: named for name, measure in declared}

    @cached_property
    def finish_measures(self) -> tuple[Measure, ...]:
        """The measures of the finish steps, in the order of `measures`."""
        return self._declared("finish", self._names("finish"), [])

    @cached_property
    def prepare_measures(self) -> tuple[Measure, ...]:
        """The measures that the prepare steps declare."""
        return self._declared("prepare", [], [])

    @cached_property
    def update_measures(self) -> tuple[Measure, ...]:
        """What was measured of the updates of a round: events update/NAME of all clients together."""
        return self._declared("update", [], [])

    @cached_property
    def membership_measures(self) -> tuple[Measure, ...]:
        """How well trained rows were told from held-out ones: events membership/SYSTEM/NAME."""
        return self._declared("membership", [], [])

    def systems(self, kind: str = "held_out") -> list[str]:
        """The systems with events of `kind` ("held_out", "probe" or "membership"): base, majority, local, federated, finished, centralized,
        then any others. For the kind "finish", the finish steps."""
        seen = dict.fromkeys(parts[1] for parts in self._parts(kind))
        return [system for system in SYSTEMS if system in seen] + [system for system in seen if system not in SYSTEMS]

    def clients(self) -> list[str]:
        """All clients: those of the manifest in its order, then others in the order of their first event."""
        from_manifest = [str(row["client"]) for row in self.holdings() if row.get("client") is not None]
        return list(dict.fromkeys(from_manifest + [client for _, client in self._values if client is not None]))

    def holdings(self) -> list[Mapping[str, Any]]:
        """A row per client with `client`, `train`, `held_out` (numbers of rows) and the other counts of the data summary."""
        data = self.manifest.get("data")
        rows = data.get("clients") if isinstance(data, Mapping) else None
        return [row for row in rows if isinstance(row, Mapping)] if isinstance(rows, list) else []

    def rounds_done(self) -> int:
        """The number of the last round that has an event."""
        return max((event.round for event in self.metrics if event.round is not None), default=0)

    def recipe_value(self, key: str) -> Any:
        """The recipe's value at a dotted key; None when the recipe has no such key."""
        value: Any = self.recipe
        for step in key.split("."):
            value = value.get(step) if isinstance(value, Mapping) else None
        return value

    def _names(self, kind: str) -> list[str]:
        """The names of measures in events `<kind>/<system>/<name>`, each once."""
        return list(dict.fromkeys(parts[2] for parts in self._parts(kind)))

    def _parts(self, kind: str) -> list[list[str]]:
        """[kind, system, name] of every event name `<kind>/<system>/<name>`; the name of a measure may hold slashes."""
        return [name.split("/", 2) for name in self._event_names if name.startswith(f"{kind}/") and name.count("/") >= 2]

    def _declared(self, kind: str, found: Iterable[str], undeclared: Iterable[Measure]) -> tuple[Measure, ...]:
        """The manifest's measures of `kind`, or `undeclared` for a manifest that declares none, then the other names in `found`."""
        declared = self.manifest.get("measures")
        if isinstance(declared, Mapping):
            listed = [item for item in declared.get(kind) or () if isinstance(item, Mapping) and {"name", "title"} <= item.keys()]
            known = {str(item["name"]): Measure.from_plain(item) for item in listed}
        else:
            known = {measure.name: measure for measure in undeclared}
        return (*known.values(), *(unknown_measure(name) for name in found if name not in known))

    @cached_property
    def _event_names(self) -> list[str]:
        """The names of all events, each once: they are few, however many clients there are."""
        return list(dict.fromkeys(name for name, _ in self._values))

    @cached_property
    def _values(self) -> dict[tuple[str, str | None], dict[int | None, float]]:
        found: dict[tuple[str, str | None], dict[int | None, float]] = {}
        for event in self.metrics:
            found.setdefault((event.name, event.client), {})[event.round] = event.value
        return found


def read_run(path: str | Path) -> RunRecord:
    """Read the run in the folder `path`.

    Raises RecipeError when the folder holds no run, FedloomError when its recipe, manifest, samples or suites are damaged. Damaged
    lines of the metrics are named in `damaged`; a torn last line, which a killed run leaves behind, is left out.
    """
    folder = local_path(path)
    if not (folder / "recipe.yaml").is_file():
        what = "has no recipe.yaml, so it is not a run folder" if folder.is_dir() else "no such run folder"
        raise RecipeError(f"{folder}: {what}; give a folder that `fedloom run` has written")
    lines, damaged = _read_objects(folder / "metrics.jsonl")
    events, no_events = _events(lines)
    wire_lines, damaged_wire = _read_objects(folder / "wire.jsonl")
    synthetic, rejected = (_read_objects(folder / name) for name in ("synthetic.jsonl", "rejected.jsonl"))
    return RunRecord(
        folder,
        _read_recipe(folder / "recipe.yaml"),
        _checked(_written(folder / "manifest.json", dict), folder / "manifest.json"),
        tuple(events),
        tuple(_sample(item) for item in _written(folder / "samples.json", list) if isinstance(item, dict)),
        _texts(folder / "pairs.json"),
        _texts(folder / "pictures.json"),
        tuple(row for _, row in synthetic[0]),
        tuple(row for _, row in rejected[0]),
        WireTotals(len(wire_lines), sum(int(line.get("bytes") or 0) for _, line in wire_lines)),
        tuple(damaged + no_events + damaged_wire + synthetic[1] + rejected[1]),
        _written(folder / AUDIT, dict),
        {path.stem: read_json(path, dict) for path in sorted((folder / FOLDER).glob("*.json"))},
    )


def _texts(path: Path) -> tuple[Mapping[str, str], ...]:
    """The objects in a list that a run wrote, their values as text."""
    return tuple({key: str(text) for key, text in item.items()} for item in _written(path, list) if isinstance(item, dict))


def united(declared: Iterable[Iterable[Measure]]) -> tuple[Measure, ...]:
    """The measures of several runs, each name once, as the first run that has it declares it."""
    found: dict[str, Measure] = {}
    for measures in declared:
        for measure in measures:
            found.setdefault(measure.name, measure)
    return tuple(found.values())


def dotted(part: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """A nested mapping as one of dotted keys: {"a": {"b": 1}} -> {"a.b": 1}."""
    found: dict[str, Any] = {}
    for key, value in part.items():
        found |= dotted(value, f"{prefix}{key}.") if isinstance(value, Mapping) else {f"{prefix}{key}": value}
    return found


def _read_recipe(path: Path) -> dict[str, Any]:
    try:
        recipe = parse_yaml(path.read_text(encoding="utf-8"))
    except (YamlError, UnicodeDecodeError):
        recipe = None
    if not isinstance(recipe, dict):
        raise FedloomError(f"{path}: is not a recipe in YAML; restore the file from a copy of the run")
    return recipe


def _checked(manifest: dict[str, Any], path: Path) -> dict[str, Any]:
    """The manifest, whose parts that are read are of the types that a run writes. Raises FedloomError for others."""
    data = manifest.get("data", {})
    rows = data.get("clients", []) if isinstance(data, dict) else None
    right = {
        "model": isinstance(manifest.get("model", {}), dict),
        "data": isinstance(rows, list) and all(isinstance(row.get("train", 0), int | float) for row in rows if isinstance(row, dict)),
        "seconds": isinstance(manifest.get("seconds", 0.0), int | float),
        "measures": isinstance(manifest.get("measures", {}), dict),
    }
    for key, usable in right.items():
        if not usable:
            raise FedloomError(f"{path}: is damaged ('{key}' is not as a run writes it); restore it from a copy of the run, or delete it")
    return manifest


def _written(path: Path, kind: type[T]) -> T:
    """What a file of the run holds; nothing while it is not written."""
    return read_json(path, kind) if path.is_file() else kind()


def _read_objects(path: Path) -> tuple[list[tuple[str, dict[str, Any]]], list[str]]:
    """("file:line", object) for each readable line of a JSONL file, and the "file:line" of the others."""
    if not path.is_file():
        return [], []
    objects, damaged = [], []
    for number, line in enumerate(path.read_bytes().split(b"\n")[:-1], start=1):
        place = f"{path.name}:{number}"
        try:
            content = json.loads(line)
        except (ValueError, RecursionError):
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
            value = math.nan if line["value"] is None else float(line["value"])
            events.append(Event(round_, client, str(line["name"]), value))
        except (KeyError, TypeError, ValueError):
            damaged.append(place)
    return events, damaged


def _sample(item: Mapping[str, Any]) -> Sample:
    return Sample(*(str(item.get(key) or "") for key in ("client", "system", "prompt", "reference", "before", "after")))
