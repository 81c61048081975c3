"""What runs that are repetitions of each other scored in suites, row by row: intervals of the mean over them, and whether two means are
told apart. The rows of a suite are the same in all of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from math import isclose
from pathlib import Path
from typing import TypeVar

from fedloom.errors import FedloomError
from fedloom.evaluation.evaluated import FOLDER, Kept, read_kept
from fedloom.evaluation.intervals import Interval
from fedloom.evaluation.suite import Models, Scored, Suite, named_in
from fedloom.evaluation.suite_intervals import differences, intervals
from fedloom.evaluation.suites import suites
from fedloom.measures import Measure

T = TypeVar("T")


@dataclass(frozen=True)
class SuiteRows:
    """What one system scored in a suite, in all repetitions: `kept` is how the first of them holds it, `models` are those of all."""

    name: str
    kept: Kept
    models: Models

    @property
    def measures(self) -> list[Measure]:
        """Under their names among those of other suites, as are the keys of what the others give."""
        return [named_in(self.name, measure) for measure in self.kept.measures]

    @cached_property
    def intervals(self) -> dict[str, Interval]:
        """Of the mean over all models."""
        return self._named(intervals(self._suite, self.kept.measures, self.models))

    def told_apart_from(self, other: SuiteRows) -> dict[str, bool]:
        """Whether the rows tell the two apart by each measure; nothing where they were asked other rows."""
        if self.kept.described != other.kept.described or _names(self.models[0]) != _names(other.models[0]):
            return {}
        found = differences(self._suite, self.kept.measures, other.models, self.models)
        return self._named({name: difference.told_apart for name, difference in found.items()})

    @cached_property
    def _suite(self) -> Suite:
        made: Suite = suites.get(self.name)(**self.kept.described["settings"])
        return made

    def _named(self, found: Mapping[str, T]) -> dict[str, T]:
        return {named.name: found[own.name] for named, own in zip(self.measures, self.kept.measures, strict=True) if own.name in found}


def rows_of(system: str, folders: Sequence[Path], means: Mapping[str, float]) -> dict[str, SuiteRows]:
    """Name of a suite -> the rows of `system` in the run folders, where they are those that its `means` come from."""
    names = set.intersection(*({path.stem for path in (folder / FOLDER).glob("*.json")} for folder in folders))
    found = {name: _joined(name, system, [read_kept(folder / FOLDER, name) for folder in folders]) for name in sorted(names)}
    return {name: rows for name, rows in found.items() if rows is not None and _are_of(rows, means)}


def _joined(name: str, system: str, kept: Sequence[Kept]) -> SuiteRows | None:
    """The rows of `system` in all results; None where one has no such rows, or other ones."""
    models = [rows for one in kept for rows in one.scored.get(system, [])]
    alike = all(one.described == kept[0].described and system in one.scored for one in kept)
    return SuiteRows(name, kept[0], models) if alike and all(_names(rows) == _names(models[0]) for rows in models) else None


def _are_of(rows: SuiteRows, means: Mapping[str, float]) -> bool:
    """Whether the means of the rows are those of the runs: `fedloom evaluate` may have asked again, with other settings."""
    try:
        found = rows.intervals
    except FedloomError:  # a task of the user's own that is gone
        return False
    return all(name in means and isclose(interval.value, means[name], rel_tol=1e-9, abs_tol=1e-12) for name, interval in found.items())


def _names(rows: Sequence[Scored]) -> list[str]:
    return [row.row for row in rows]
