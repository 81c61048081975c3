"""What systems scored in a suite: values with their intervals, by group, and row by row on disk."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from fedloom.evaluation.intervals import Difference, Interval
from fedloom.evaluation.suite import Models, Scored, Suite
from fedloom.evaluation.suite_intervals import differences, intervals
from fedloom.files import disk_errors_named, read_json, whole_lines, write_atomic
from fedloom.measures import Measure

FOLDER = "evaluations"
"""In a run folder: what its model scored."""


@dataclass(frozen=True)
class Evaluated:
    """What the systems, such as base and tuned, scored in a suite. `difference` is the last less the first, on the
    same rows, where there are two.

    `warnings` are what a reader must be told: a measure that nobody could be read for has no value.

    `groups` is group of rows -> system -> measure -> value, where the rows belong to several groups. `rows` are how many there are.
    """

    suite: str
    measures: Sequence[Measure]
    rows: int
    scored: Mapping[str, Models]
    systems: Mapping[str, Mapping[str, Interval]]
    difference: Mapping[str, Difference]
    groups: Mapping[str, Mapping[str, Mapping[str, Interval]]]
    described: Mapping[str, Any]
    warnings: Sequence[str] = ()

    @property
    def shown(self) -> list[Measure]:
        """The measures that a table has: those with a value, and those with a direction, which are there with or without one."""
        found = {name for values in self.systems.values() for name in values}
        return [measure for measure in self.measures if measure.name in found or measure.better != "neither"]

    def plain(self) -> dict[str, Any]:
        """As JSON, without the rows."""
        return {
            "suite": self.suite,
            "measures": [measure.plain() for measure in self.measures],
            "rows": self.rows,
            "systems": {system: self._plain(found) for system, found in self.systems.items()},
            "difference": self._plain(self.difference) if self.difference or len(self.systems) > 1 else {},
            "groups": {group: {system: self._plain(found) for system, found in of.items()} for group, of in self.groups.items()},
            "described": dict(self.described),
            "warnings": list(self.warnings),
        }

    def _plain(self, found: Mapping[str, Interval]) -> dict[str, Any]:
        """The measures that are shown, null where there is no value."""
        return {measure.name: asdict(found[measure.name]) if measure.name in found else None for measure in self.shown}


def evaluated(name: str, suite: Suite, scored: Mapping[str, Models]) -> Evaluated:
    """What the rows of each system come to."""
    measures = suite.measures_of([row for models in scored.values() for rows in models for row in rows])
    systems = {system: intervals(suite, measures, models) for system, models in scored.items()}
    first, *_, last = [*scored.values(), *scored.values()]
    difference = differences(suite, measures, first, last) if len(scored) > 1 else {}
    settings = {key: value for key, value in vars(suite).items() if not key.startswith("_")}
    described = {"settings": settings, **suite.described()}
    warned = [f"{name}, {system}: {text}" for system, models in scored.items() for rows in models for text in suite.warnings(rows)]
    warnings = list(dict.fromkeys(warned))
    groups = {group: _of_group(suite, measures, scored, group) for group in _groups(scored)}
    return Evaluated(name, measures, len(first[0]), scored, systems, difference, groups, described, warnings)


def keep(one: Evaluated, folder: Path) -> None:
    """Write what was scored into `folder`: NAME.json, and NAME.rows.jsonl with every row."""
    with disk_errors_named(folder):
        folder.mkdir(parents=True, exist_ok=True)
    lines = [
        json.dumps({"system": system, "model": number, **asdict(row)})
        for system, models in one.scored.items()
        for number, rows in enumerate(models)
        for row in rows
    ]
    write_atomic(folder / f"{one.suite}.rows.jsonl", "".join(f"{line}\n" for line in lines))
    write_atomic(folder / f"{one.suite}.json", json.dumps(one.plain(), indent=2, ensure_ascii=False) + "\n")


@dataclass(frozen=True)
class Kept:
    """Results that were written: `measures`, what decided the scores, and the rows of every system."""

    measures: Sequence[Measure]
    described: Mapping[str, Any]
    scored: Mapping[str, Models]


def read_kept(folder: Path, name: str) -> Kept:
    """What `keep` has written of the suite `name` into `folder`."""
    content = read_json(folder / f"{name}.json", dict)
    scored: dict[str, dict[int, list[Scored]]] = {}
    for line in map(json.loads, whole_lines(folder / f"{name}.rows.jsonl")):
        row = Scored(line["row"], line["values"], line["group"])
        scored.setdefault(line["system"], {}).setdefault(line.get("model", 0), []).append(row)
    measures = [Measure.from_plain(measure) for measure in content["measures"]]
    return Kept(measures, content["described"], {system: [*models.values()] for system, models in scored.items()})


def _groups(scored: Mapping[str, Models]) -> list[str]:
    """The groups of rows; none where all rows belong to one."""
    groups = sorted({row.group for models in scored.values() for row in models[0]})
    return groups if len(groups) > 1 else []


def _of_group(suite: Suite, measures: Sequence[Measure], scored: Mapping[str, Models], group: str) -> dict[str, dict[str, Interval]]:
    """System -> the value of each measure over the rows of `group`, of those systems that have such rows."""
    own = {system: [[row for row in rows if row.group == group] for rows in models] for system, models in scored.items()}
    return {system: intervals(suite, measures, models) for system, models in own.items() if models[0]}
