"""A sweep: one recipe over a grid of values, a run per cell. Each cell is run once; the same command again continues the sweep.

The initial adapter and the draws of clients and rows depend on the seed alone. Two cells with the same clients that differ in the algorithm
therefore differ in nothing else.
"""

from __future__ import annotations

import hashlib
import itertools
import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from statistics import fmean, stdev
from typing import Any

import yaml

from fedloom.benchmarking import check_questions
from fedloom.data.bench_sets import look_alike_notes
from fedloom.errors import FedloomError, InterruptedRunError, RecipeError
from fedloom.evaluation.intervals import Interval
from fedloom.federation.observer import Observer
from fedloom.files import read_json, write_atomic
from fedloom.measures import Measure
from fedloom.outcome import Run, read
from fedloom.overrides import parse_overrides
from fedloom.recipe import Recipe
from fedloom.report.further import by_name, further, united_groups
from fedloom.report.record import RunRecord, read_run, united
from fedloom.resolve import load_recipe
from fedloom.run import resume, run
from fedloom.studies.suite_rows import SuiteRows, rows_of

REPLICATE = "seed"
"""The key whose values are repetitions: results are means over them, with their standard deviation."""

ALGORITHM = "algorithm"
"""The part of the recipe on which baselines do not depend."""

NO_BASELINES: dict[str, Any] = {"baselines": [], "clusters": None, "local_clients": 0}
"""`evaluate` of a cell that shares its baselines with another one."""

BASELINES = ("base", "majority", "local", "local_own", "clustered", "finetuned", "centralized")

Group = tuple[tuple[str, str], ...]
"""(key, value as text) of the cells that are repetitions of each other."""


@dataclass(frozen=True)
class Cell:
    """One run of a sweep: its value for each key of the grid, and its folder."""

    values: Mapping[str, Any]
    folder: Path

    @property
    def group(self) -> Group:
        """The cell's values without the seed, as text. Cells of one group are repetitions of each other."""
        return tuple((key, written(value)) for key, value in self.values.items() if key != REPLICATE)

    @property
    def conditions(self) -> Group:
        """The cell's values without those of the algorithm. Cells with equal conditions share their baselines."""
        return tuple((key, written(value)) for key, value in self.values.items() if key.partition(".")[0] != ALGORITHM)


@dataclass(frozen=True)
class Grid:
    """A checked sweep. `axes` maps each key to its values; `cells` holds every cell with its resolved recipe."""

    folder: Path
    axes: Mapping[str, Sequence[Any]]
    cells: tuple[tuple[Cell, Recipe], ...]


@dataclass(frozen=True)
class Result:
    """Means over the finished repetitions of one group. `spread` is the sample standard deviation; None with one repetition.

    `system` is what was measured: the federated model or a baseline. The group of a baseline has no algorithm. `mean` and `spread` map
    names of measures to values: held-out ones and those of probes by their names, others as `report.further` names them.

    `suites` is name -> what was scored row by row in all repetitions. `apart` says of their measures whether these rows tell the
    result apart from the best federated one with equal conditions.
    """

    group: Group
    runs: int
    mean: Mapping[str, float]
    spread: Mapping[str, float | None]
    system: str = "federated"
    suites: Mapping[str, SuiteRows] = field(default_factory=dict)
    apart: Mapping[str, bool] = field(default_factory=dict)

    @property
    def intervals(self) -> dict[str, Interval]:
        """Name of a measure of a suite -> the interval, over rows, of its mean over the repetitions."""
        return {name: interval for rows in self.suites.values() for name, interval in rows.intervals.items()}

    def plain(self) -> dict[str, Any]:
        """As JSON, without the rows of suites."""
        own = {key: value for key, value in vars(self).items() if key != "suites"}
        return own | {"intervals": {name: asdict(interval) for name, interval in self.intervals.items()}}

    @property
    def conditions(self) -> Group:
        """The group without the algorithm. Results with equal conditions can be compared."""
        return tuple((key, value) for key, value in self.group if key.partition(".")[0] != ALGORITHM)


def plan_sweep(
    recipe: str | Path | Mapping[str, Any], words: Sequence[str], folder: Path, given: Mapping[str, Sequence[Any]] | None = None
) -> Grid:
    """Check every cell of the grid before any is run. `words` are key=value; several values with commas between make an axis: seed=1,2,3.
    `given` are axes, too, of one value or several.

    Of the cells that differ in the algorithm alone, only the first measures baselines. Raises RecipeError for a wrong key in any cell,
    or when `folder` holds another sweep, and what a suite raises that cannot be asked.
    """
    axes: dict[str, list[Any]] = {key: list(values) for key, values in (given or {}).items()}
    fixed: dict[str, Any] = {}
    for word in words:
        key, _, text = word.partition("=")
        choices = split_choices(text)
        if len(choices) == 1:
            fixed |= parse_overrides([word])
        else:
            axes[key] = [parse_overrides([f"{key}={choice}"])[key] for choice in choices]
            if len(set(map(written, axes[key]))) < len(choices):
                raise RecipeError(f"{key}: names a value twice; name each once")
    if not axes:
        raise RecipeError("a sweep needs a key with several values, such as algorithm.name=fedavg,fedprox or seed=1,2,3")
    cells: list[tuple[Cell, Recipe]] = []
    for values in itertools.product(*axes.values()):
        chosen = dict(zip(axes, values, strict=True))
        cell, resolved = Cell(chosen, folder / "cells" / _cell_name(chosen)), load_recipe(recipe, {**fixed, **chosen})
        if any(cell.conditions == earlier.conditions for earlier, _ in cells):
            resolved = resolved.model_copy(update={"evaluate": resolved.evaluate.model_copy(update=NO_BASELINES)})
        cells.append((cell, resolved))
    check_questions(resolved for _, resolved in cells)
    grid = Grid(folder, axes, tuple(cells))
    _claim(grid, load_recipe(recipe, fixed))
    return grid


def run_sweep(
    grid: Grid, observer: Observer | None = None, tell: Callable[[int, Cell, str], None] = lambda *_: None
) -> list[tuple[Cell, Run]]:
    """Run the cells that are not finished. `tell(number, cell, what)` is called for each: kept, resumed, run or failed.

    A cell that fails is left out of the results, and the other cells are run. Ctrl-C stops the sweep; the same command continues it.
    """
    done = []
    for number, (cell, recipe) in enumerate(grid.cells, start=1):
        begun = (cell.folder / "checkpoints").exists()
        try:
            kept = begun and read(cell.folder).status == "finished"
            tell(number, cell, "kept" if kept else "resumed" if begun else "run")
            finished = resume(cell.folder, observer) if begun else run(recipe, cell.folder, observer)
        except InterruptedRunError:
            raise
        except FedloomError as error:
            tell(number, cell, f"failed: {error}")
            continue
        done.append((cell, finished))
    return done


def summarise(done: Sequence[tuple[Cell, Run]]) -> list[Result]:
    """The results of the federated models, by group in the grid's order, then those of the baselines."""
    records = {finished.folder: read_run(finished.folder) for _, finished in done}
    results = _means("federated", [(cell.group, finished) for cell, finished in done], records)
    for system in BASELINES:
        first: dict[Group, tuple[Cell, Run]] = {}
        for cell, finished in done:
            if any(name.startswith(f"{system}/") for name in finished.metrics):
                first.setdefault(cell.conditions, (cell, finished))
        found = [(tuple(pair for pair in cell.group if pair[0].partition(".")[0] != ALGORITHM), one) for cell, one in first.values()]
        results += _means(system, found, records)
    return [replace(result, apart=dict(_told_apart(result, results))) for result in results]


def best_result(results: Sequence[Result], like: Result, measure: Measure) -> Result | None:
    """The federated result that is the best by `measure` of those with the conditions of `like`."""
    rivals = [result for result in results if result.system == "federated" and result.conditions == like.conditions]
    best = measure.best(result.mean.get(measure.name) for result in rivals)
    return next((result for result in rivals if best is not None and result.mean.get(measure.name) == best), None)


def held_out_measures(done: Sequence[tuple[Cell, Run]]) -> tuple[Measure, ...]:
    """The held-out measures of the finished runs, from their manifests, in the order in which they are shown."""
    return united(read_run(finished.folder).measures for _, finished in done)


def further_measures(done: Sequence[tuple[Cell, Run]]) -> dict[str, tuple[Measure, ...]]:
    """The further measures of the finished runs and of their baselines, by group."""
    records = [read_run(finished.folder) for _, finished in done]
    return united_groups(further(record, system) for system in ("federated", *BASELINES) for record in records)


def data_notes(done: Sequence[tuple[Cell, Run]]) -> list[str]:
    """What must be said of the data of the finished runs, that it is made up, each once."""
    manifests = [read_run(finished.folder).manifest for _, finished in done]
    return look_alike_notes(dict.fromkeys(name for manifest in manifests for name in (manifest.get("data") or {}).get("licences", {})))


def _means(system: str, runs: Sequence[tuple[Group, Run]], records: Mapping[Path, RunRecord]) -> list[Result]:
    """The results of `system`, one per group."""
    groups: dict[Group, list[Run]] = {}
    for group, finished in runs:
        groups.setdefault(group, []).append(finished)
    results = []
    for group, same in groups.items():
        repeated = [_measured(system, finished, records[finished.folder]) for finished in same]
        names = [name for name in repeated[0] if all(name in one for one in repeated)]
        values = {name: [one[name] for one in repeated] for name in names}
        mean = {name: fmean(found) for name, found in values.items()}
        spread = {name: stdev(found) if len(found) > 1 else None for name, found in values.items()}
        scored = rows_of(system, [finished.folder for finished in same], mean)
        results.append(Result(group, len(repeated), mean, spread, system, scored))
    return results


def _measured(system: str, finished: Run, record: RunRecord) -> dict[str, float]:
    """Name -> value of everything that a run has measured of `system`."""
    own = {name.removeprefix(f"{system}/"): value for name, value in finished.metrics.items() if name.startswith(f"{system}/")}
    return own | by_name(further(record, system))


def _told_apart(result: Result, results: Sequence[Result]) -> Iterator[tuple[str, bool]]:
    """(measure of a suite, whether the rows tell `result` apart from the best one by it), where the best one is another with such rows."""
    for suite, own in result.suites.items():
        best = {measure.name: best_result(results, result, measure) for measure in own.measures}
        for rival in results:
            if rival is not result and suite in rival.suites and any(one is rival for one in best.values()):
                apart = own.told_apart_from(rival.suites[suite])
                yield from ((name, told) for name, told in apart.items() if best[name] is rival)


def split_choices(text: str) -> list[str]:
    """Split `text` at its commas, except at those inside brackets, braces or quotes."""
    parts, depth, quote = [""], 0, ""
    for letter in text:
        if quote:
            quote = "" if letter == quote else quote
        elif letter in "'\"":
            quote = letter
        elif letter in "[{(":
            depth += 1
        elif letter in "]})":
            depth -= 1
        if letter == "," and depth == 0 and not quote:
            parts.append("")
        else:
            parts[-1] += letter
    return [part.strip() for part in parts]


def written(value: Any) -> str:
    """A value as YAML on one line."""
    return value if isinstance(value, str) else yaml.safe_dump(value, default_flow_style=True, width=1000).removesuffix("...\n").strip()


def _cell_name(values: Mapping[str, Any]) -> str:
    """A readable folder name. One that was cut, or in which letters were replaced, ends in a hash of the values."""
    plain = "_".join(f"{key.rsplit('.', 1)[-1]}-{written(value)}" for key, value in values.items())
    safe = re.sub(r"[^\w.-]+", "-", plain).strip("-")
    if safe == plain and len(safe) <= 80:
        return safe
    return f"{safe[:80]}-{hashlib.sha256(plain.encode()).hexdigest()[:8]}"


def _claim(grid: Grid, base: Recipe) -> None:
    """Write the axes and the recipe into the folder, so that another sweep is not mixed into it."""
    path = grid.folder / "sweep.json"
    content = {"axes": {key: [written(value) for value in values] for key, values in grid.axes.items()}, "recipe": base.plain()}
    if path.exists():
        if read_json(path, dict) != json.loads(json.dumps(content)):
            raise RecipeError(f"{grid.folder}: holds another sweep; choose another folder with --out")
        return
    grid.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    write_atomic(path, json.dumps(content, indent=2, ensure_ascii=False) + "\n")
