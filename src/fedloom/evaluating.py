"""`fedloom evaluate`: the model of a run, or any other, on suites of public questions, with its base beside it where it has one."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

from fedloom.chat import talks
from fedloom.errors import ModelError, RecipeError
from fedloom.evaluation.intervals import Interval, bootstrap, bootstrap_difference
from fedloom.evaluation.suite import Scored, Suite
from fedloom.evaluation.suites import suites
from fedloom.evaluation.talker import Progress, Talker, silent
from fedloom.federation.run_folder import RunFolder
from fedloom.files import local_path, write_atomic
from fedloom.handing_out import tuned_bench
from fedloom.measures import Measure
from fedloom.models.encoders import TextEncoder
from fedloom.models.load import load_model
from fedloom.overrides import parse_overrides
from fedloom.recipe import Recipe
from fedloom.registry import checked_settings
from fedloom.resolve import load_recipe

FOLDER = "evaluations"
"""In a run folder: what its model scored."""

TUNED, BASE, MODEL = "tuned", "base", "model"


@dataclass(frozen=True)
class Evaluated:
    """What the systems, such as base and tuned, scored in a suite. `difference` is tuned less base, on the same rows."""

    suite: str
    measures: Sequence[Measure]
    rows: Mapping[str, Sequence[Scored]]
    systems: Mapping[str, Mapping[str, Interval]]
    difference: Mapping[str, Interval]
    described: Mapping[str, Any]

    def plain(self) -> dict[str, Any]:
        """As JSON, without the rows."""
        return {
            "suite": self.suite,
            "measures": [measure.plain() for measure in self.measures],
            "rows": len(next(iter(self.rows.values()))),
            "systems": {system: _plain(found) for system, found in self.systems.items()},
            "difference": _plain(self.difference),
            "described": dict(self.described),
        }


def chosen_suites(names: Sequence[str], words: Sequence[str]) -> dict[str, Suite]:
    """name -> suite, with the settings `words`, each SUITE.KEY=VALUE. Raises RecipeError for what is unknown, or lacking."""
    if not names:
        raise RecipeError(f"--suite: name one or more, with commas between; known: {', '.join(suites.names())}")
    given: dict[str, dict[str, Any]] = {name: {} for name in names}
    for key, value in parse_overrides([*words]).items():
        name, dot, setting = key.partition(".")
        if not dot or name not in given:
            raise RecipeError(f"{key}: should be SUITE.KEY=VALUE, SUITE being one of --suite: {', '.join(names)}")
        given[name][setting] = value
    chosen = {name: suites.get(name) for name in names}
    made = {name: part(**checked_settings(part, given[name], name)) for name, part in chosen.items()}
    for suite in made.values():
        suite.check()
    return made


def evaluate(
    place: str,
    chosen: Mapping[str, Suite],
    folder: Path | None = None,
    base: bool = True,
    batch_size: int = 16,
    progress: Callable[[str, str], Progress] = lambda system, suite: silent,
) -> list[Evaluated]:
    """Score the model at `place`, a run folder or a model (a name, hub id or folder), and the base of a run unless `base` is false.

    Answers are kept in the cache as they are written, so that the same command goes on after a stop. Results are written into `folder`, by
    default that of the run. Raises ModelError for a run that is not finished or whose model does not talk.
    """
    found: dict[str, dict[str, Sequence[Scored]]] = {name: {} for name in chosen}
    for system, opened in _systems(place, base, batch_size):
        talker = opened()
        for name, suite in chosen.items():
            found[name][system] = suite.score(talker, progress(system, name))
            if not found[name][system]:
                raise RecipeError(f"{name}: has no row to score")
    evaluated = [_evaluated(name, suite, found[name]) for name, suite in chosen.items()]
    if target := folder or (RunFolder(Path(place)).path / FOLDER if _is_run(place) else None):
        for one in evaluated:
            keep(one, target)
    return evaluated


def keep(one: Evaluated, folder: Path) -> None:
    """Write what was scored into `folder`: NAME.json, and NAME.rows.jsonl with every row."""
    folder.mkdir(parents=True, exist_ok=True)
    lines = [json.dumps({"system": system, **asdict(row)}) for system, rows in one.rows.items() for row in rows]
    write_atomic(folder / f"{one.suite}.rows.jsonl", "".join(f"{line}\n" for line in lines))
    write_atomic(folder / f"{one.suite}.json", json.dumps(one.plain(), indent=2, ensure_ascii=False) + "\n")


def _evaluated(name: str, suite: Suite, rows: Mapping[str, Sequence[Scored]]) -> Evaluated:
    summaries = {system: partial(suite.summary, scored) for system, scored in rows.items()}
    counts = {system: len(scored) for system, scored in rows.items()}
    systems = {system: bootstrap(summary, counts[system]) for system, summary in summaries.items()}
    both = TUNED in rows and BASE in rows
    difference = bootstrap_difference(summaries[TUNED], summaries[BASE], counts[TUNED]) if both else {}
    settings = {key: value for key, value in vars(suite).items() if not key.startswith("_")}
    return Evaluated(name, suite.measures, rows, systems, difference, {"settings": settings, **suite.described()})


def _systems(place: str, base: bool, batch_size: int) -> Iterator[tuple[str, Callable[[], Talker]]]:
    """(name, what opens it) of each system, one after another, so that no two models are held at once."""
    if not _is_run(place):
        yield MODEL, partial(_of_model, Recipe.model_validate({"model": {"id": place, "adapter": None}}), batch_size)
        return
    recipe = load_recipe(Path(place) / "recipe.yaml")
    if not talks(recipe):
        raise ModelError(f"{place}: was trained to choose a label ({recipe.task.kind}) and cannot talk, which suites ask for")
    if base:
        yield BASE, partial(_of_model, recipe, batch_size)
    yield TUNED, partial(_of_run, recipe, Path(place), batch_size)


def _is_run(place: str) -> bool:
    return (local_path(place) / "recipe.yaml").is_file()


def _of_model(recipe: Recipe, batch_size: int) -> Talker:
    loaded = load_model(recipe.model)
    template = recipe.data.template or "chat"
    return Talker(loaded.model, loaded.tokenizer, template, _identity(loaded.sha256, "", recipe), batch_size)


def _of_run(recipe: Recipe, run_folder: Path, batch_size: int) -> Talker:
    bench = tuned_bench(recipe, RunFolder(run_folder))
    encoder = bench.encoder
    assert isinstance(encoder, TextEncoder)
    identity = _identity(bench.sha256, bench.parameters.state().sha256(), recipe)
    return Talker(bench.model, encoder.tokenizer, encoder.template, identity, batch_size)


def _identity(base: str, trained: str, recipe: Recipe) -> str:
    """What decides a model's answers beside the question: its weights, and the precision that it computes in."""
    return hashlib.sha256(f"{base} {trained} {recipe.model.dtype} {recipe.model.quantization}".encode()).hexdigest()


def _plain(found: Mapping[str, Interval]) -> dict[str, Any]:
    return {name: asdict(interval) for name, interval in found.items()}
