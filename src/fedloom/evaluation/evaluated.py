"""What systems scored in a suite: values with their intervals, by group, and row by row on disk."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from fedloom.evaluation.intervals import Difference, Interval
from fedloom.evaluation.suite import Scored, Suite
from fedloom.evaluation.suite_intervals import differences, intervals
from fedloom.files import disk_errors_named, write_atomic
from fedloom.measures import Measure

FOLDER = "evaluations"
"""In a run folder: what its model scored."""


@dataclass(frozen=True)
class Evaluated:
    """What the systems, such as base and tuned, scored in a suite. `difference` is the last less the first, on the
    same rows, where there are two.

    `warnings` are what a reader must be told: a measure that nobody could be read for has no value.

    `groups` is group of rows -> system -> measure -> value, where the rows belong to several groups.
    """

    suite: str
    measures: Sequence[Measure]
    rows: Mapping[str, Sequence[Scored]]
    systems: Mapping[str, Mapping[str, Interval]]
    difference: Mapping[str, Difference]
    groups: Mapping[str, Mapping[str, Mapping[str, float]]]
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
            "rows": len(next(iter(self.rows.values()))),
            "systems": {system: self._plain(found) for system, found in self.systems.items()},
            "difference": self._plain(self.difference) if self.difference or len(self.systems) > 1 else {},
            "groups": dict(self.groups),
            "described": dict(self.described),
            "warnings": list(self.warnings),
        }

    def _plain(self, found: Mapping[str, Interval]) -> dict[str, Any]:
        """The measures that are shown, null where there is no value."""
        return {measure.name: asdict(found[measure.name]) if measure.name in found else None for measure in self.shown}


def evaluated(name: str, suite: Suite, rows: Mapping[str, Sequence[Scored]]) -> Evaluated:
    """What the `rows` of each system come to."""
    systems = {system: intervals(suite, scored) for system, scored in rows.items()}
    first, *_, last = [*rows.values(), *rows.values()]
    difference = differences(suite, first, last) if len(rows) > 1 else {}
    settings = {key: value for key, value in vars(suite).items() if not key.startswith("_")}
    described = {"settings": settings, **suite.described()}
    warnings = [f"{name}, {system}: {text}" for system, scored in rows.items() for text in suite.warnings(scored)]
    return Evaluated(name, suite.measures, rows, systems, difference, _by_group(suite, rows), described, warnings)


def keep(one: Evaluated, folder: Path) -> None:
    """Write what was scored into `folder`: NAME.json, and NAME.rows.jsonl with every row."""
    with disk_errors_named(folder):
        folder.mkdir(parents=True, exist_ok=True)
    lines = [json.dumps({"system": system, **asdict(row)}) for system, rows in one.rows.items() for row in rows]
    write_atomic(folder / f"{one.suite}.rows.jsonl", "".join(f"{line}\n" for line in lines))
    write_atomic(folder / f"{one.suite}.json", json.dumps(one.plain(), indent=2, ensure_ascii=False) + "\n")


def _by_group(suite: Suite, rows: Mapping[str, Sequence[Scored]]) -> dict[str, dict[str, dict[str, float]]]:
    """Group -> system -> the value of each measure over the rows of the group; nothing where all rows belong to one."""
    groups = sorted({row.group for scored in rows.values() for row in scored})
    if len(groups) < 2:
        return {}
    of = {(group, system): np.array([float(row.group == group) for row in scored]) for group in groups for system, scored in rows.items()}
    return {group: {system: dict(suite.summary(scored, of[group, system])) for system, scored in rows.items()} for group in groups}
