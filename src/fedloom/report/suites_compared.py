"""Two or more runs on the suites that all of them were asked: every run against the first, row by row."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.table import Table
from rich.text import Text

from fedloom.errors import FedloomError
from fedloom.evaluation.evaluated import FOLDER, Kept, read_kept
from fedloom.evaluation.intervals import Difference, Interval
from fedloom.evaluation.suite import Models, Suite
from fedloom.evaluation.suite_intervals import differences, intervals, p_value
from fedloom.evaluation.suites import suites
from fedloom.measures import Measure
from fedloom.report.text import counted, with_interval

SYSTEMS = ("finished", "tuned", "federated")
"""What the model that a run hands out is called in its results."""


@dataclass(frozen=True)
class Compared:
    """A measure of a suite in several runs: `values` of each, and of every run after the first what it has more than the first, with
    McNemar's p-value where every row is right or wrong."""

    suite: str
    rows: int
    measure: Measure
    values: Sequence[Interval | None]
    differences: Sequence[Difference | None]
    p_values: Sequence[float | None]


def suites_compared(folders: Sequence[Path]) -> tuple[list[Compared], list[str]]:
    """The measures of every suite that all runs were asked, and what could not be compared."""
    names = [{path.stem for path in (folder / FOLDER).glob("*.json")} for folder in folders]
    found: list[Compared] = []
    notes = []
    for name in sorted(set.intersection(*names)):
        results = [_handed_out(read_kept(folder / FOLDER, name)) for folder in folders]
        if reason := _unlike(results):
            notes.append(f"suite {name}: {reason}")
            continue
        try:
            suite = suites.get(name)(**results[0].described["settings"])
            found += _measures(name, suite, results)
        except FedloomError as error:
            notes.append(f"suite {name}: cannot be compared row by row ({error})")
    return found, notes


def suites_table(found: Sequence[Compared], names: Sequence[str]) -> Table:
    """A row per measure, a column per run, and a column for what each run after the first has more than it."""
    table = Table(title="Suites, on the same rows", title_justify="left", box=SIMPLE_HEAD)
    table.caption, table.caption_justify = "In brackets: 95% intervals over rows. p: McNemar's exact test.", "left"
    table.add_column("measure")
    for name in names:
        table.add_column(Text(name), justify="right", overflow="fold")
    for name in names[1:]:
        table.add_column(Text(f"{name} - {names[0]}"), justify="right", overflow="fold")
    for one in found:
        differences = [_difference(one.measure, gained, p) for gained, p in zip(one.differences, one.p_values, strict=True)]
        table.add_row(
            f"{one.suite}: {one.measure.title} ({counted(one.rows, 'row')})",
            *[with_interval(one.measure, value) for value in one.values],
            *differences,
        )
    return table


@dataclass(frozen=True)
class _Result:
    """What a run scored in a suite."""

    measures: Sequence[Measure]
    described: Mapping[str, Any]
    models: Models

    @property
    def rows(self) -> list[str]:
        return [row.row for row in self.models[0]]


def _handed_out(kept: Kept) -> _Result:
    """Of the model that the run handed out."""
    models = next((kept.scored[system] for system in SYSTEMS if system in kept.scored), [[]])
    return _Result(kept.measures, kept.described, models)


def _unlike(results: Sequence[_Result]) -> str:
    """Why the results cannot be compared row by row; empty where they can."""
    if any(result.described != results[0].described for result in results):
        return "the runs were asked with other files or settings"
    if any(result.rows != results[0].rows for result in results):
        return "the runs were asked other rows"
    return ""


def _measures(name: str, suite: Suite, results: Sequence[_Result]) -> Iterator[Compared]:
    measures, (first, *others) = results[0].measures, [result.models for result in results]
    values = [intervals(suite, measures, models) for models in (first, *others)]
    gains = [differences(suite, measures, first, models) for models in others]
    for measure in measures:
        of = [value.get(measure.name) for value in values]
        if any(of):
            p_values = [p_value(measure.name, first, models) for models in others]
            yield Compared(name, len(results[0].rows), measure, of, [gain.get(measure.name) for gain in gains], p_values)


def _difference(measure: Measure, found: Difference | None, p: float | None) -> Text:
    if found is None:
        return Text("–")
    text = with_interval(measure, found) + ("" if p is None else f", p {p:.3f}" if p >= 0.001 else ", p < 0.001")
    return Text(text) if found.told_apart or measure.unit == "count" else Text(f"{text}: not told apart", style="dim")
