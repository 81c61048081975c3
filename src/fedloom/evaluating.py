"""`fedloom evaluate`: the model of a run, or any other, on suites of public questions, with its base beside it where it has one."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from fedloom.chat import talks
from fedloom.data.records import Provenance
from fedloom.errors import ModelError, RecipeError
from fedloom.evaluation.intervals import Interval, bootstrap, bootstrap_difference
from fedloom.evaluation.suite import Scored, Suite
from fedloom.evaluation.suites import suites
from fedloom.evaluation.talker import Progress, Talker, silent
from fedloom.federation.run_folder import RunFolder
from fedloom.files import local_path, write_atomic
from fedloom.handing_out import tuned_bench
from fedloom.measures import Measure
from fedloom.models.catalogue import catalogue
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
    """What the systems, such as base and tuned, scored in a suite. `difference` is tuned less base, on the same rows.

    `groups` is group of rows -> system -> measure -> value, where the rows belong to several groups.
    """

    suite: str
    measures: Sequence[Measure]
    rows: Mapping[str, Sequence[Scored]]
    systems: Mapping[str, Mapping[str, Interval]]
    difference: Mapping[str, Interval]
    groups: Mapping[str, Mapping[str, Mapping[str, float]]]
    described: Mapping[str, Any]

    def plain(self) -> dict[str, Any]:
        """As JSON, without the rows."""
        return {
            "suite": self.suite,
            "measures": [measure.plain() for measure in self.measures],
            "rows": len(next(iter(self.rows.values()))),
            "systems": {system: _plain(found) for system, found in self.systems.items()},
            "difference": _plain(self.difference),
            "groups": dict(self.groups),
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
    public: bool = False,
) -> list[Evaluated]:
    """Score the model at `place`, a run folder or a model (a name, hub id or folder), and the base of a run unless `base` is false.

    Answers are kept in the cache as they are written, so that the same command goes on after a stop. Results are written into `folder`, by
    default that of the run. `public`: a model that lies in a local folder, the base of a run too, was trained on public text alone, so that
    its answers may be sent to a judge elsewhere. Raises ModelError for a run that is not finished or whose model does not talk,
    PrivateDataError when a suite would send away what a model may say of private rows.
    """
    found: dict[str, dict[str, Sequence[Scored]]] = {name: {} for name in chosen}
    systems = list(_systems(place, base, public))
    for _, says, _ in systems:
        for suite in chosen.values():
            suite.allow(says)
    for system, says, opened in systems:
        talker = opened(batch_size, says)
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
    described = {"settings": settings, **suite.described()}
    return Evaluated(name, suite.measures, rows, systems, difference, _by_group(suite, rows), described)


def _by_group(suite: Suite, rows: Mapping[str, Sequence[Scored]]) -> dict[str, dict[str, dict[str, float]]]:
    """Group -> system -> the value of each measure over the rows of the group; nothing where all rows belong to one."""
    groups = sorted({row.group for scored in rows.values() for row in scored})
    if len(groups) < 2:
        return {}
    of = {(group, system): np.array([float(row.group == group) for row in scored]) for group in groups for system, scored in rows.items()}
    return {group: {system: dict(suite.summary(scored, of[group, system])) for system, scored in rows.items()} for group in groups}


def _systems(place: str, base: bool, public: bool) -> Iterator[tuple[str, Provenance, Callable[[int, Provenance], Talker]]]:
    """(name, provenance of what it says, what opens it) of each system: opened one after another, no two models are held at once."""
    if not _is_run(place):
        yield MODEL, _base_says(place, public), partial(_of_model, Recipe.model_validate({"model": {"id": place, "adapter": None}}))
        return
    recipe = load_recipe(Path(place) / "recipe.yaml")
    if not talks(recipe):
        raise ModelError(f"{place}: was trained to choose a label ({recipe.task.kind}) and cannot talk, which suites ask for")
    says = _base_says(recipe.model.id, public)
    if base:
        yield BASE, says, partial(_of_model, recipe)
    yield TUNED, _tuned_says(says, RunFolder(Path(place))), partial(_of_run, recipe, Path(place))


def _base_says(model: str, public: bool) -> Provenance:
    """PUBLIC of a model by name or of the hub. One in a local folder may be the export of a run on private rows."""
    named = model in {entry.id for entry in catalogue()} or not local_path(model).exists()
    return Provenance.PUBLIC if named or public else Provenance.PRIVATE


def _tuned_says(base: Provenance, folder: RunFolder) -> Provenance:
    """What the manifest says of the rows that a run trained on; PRIVATE where it says nothing, or where the base is."""
    return Provenance(folder.manifest().get("says", Provenance.PRIVATE)) if base is Provenance.PUBLIC else base


def _is_run(place: str) -> bool:
    return (local_path(place) / "recipe.yaml").is_file()


def _of_model(recipe: Recipe, batch_size: int, says: Provenance) -> Talker:
    loaded = load_model(recipe.model)
    template = recipe.data.template or "chat"
    return Talker(loaded.model, loaded.tokenizer, template, _identity(loaded.sha256, "", recipe), batch_size, says)


def _of_run(recipe: Recipe, run_folder: Path, batch_size: int, says: Provenance) -> Talker:
    bench = tuned_bench(recipe, RunFolder(run_folder))
    encoder = bench.encoder
    assert isinstance(encoder, TextEncoder)
    identity = _identity(bench.sha256, bench.parameters.state().sha256(), recipe)
    return Talker(bench.model, encoder.tokenizer, encoder.template, identity, batch_size, says)


def _identity(base: str, trained: str, recipe: Recipe) -> str:
    """What decides a model's answers beside the question: its weights, and the precision that it computes in."""
    return hashlib.sha256(f"{base} {trained} {recipe.model.dtype} {recipe.model.quantization}".encode()).hexdigest()


def _plain(found: Mapping[str, Interval]) -> dict[str, Any]:
    return {name: asdict(interval) for name, interval in found.items()}
