"""`fedloom evaluate`: the model of a run, or any other, on suites of public questions, with its base beside it where it has one."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from fedloom.chat import talks
from fedloom.data.records import Provenance
from fedloom.errors import ModelError, RecipeError
from fedloom.evaluation.evaluated import FOLDER, Evaluated, evaluated, keep
from fedloom.evaluation.suite import Models, Suite
from fedloom.evaluation.suites import suites
from fedloom.evaluation.talker import Progress, Talker, identity_of, silent
from fedloom.federation.run_folder import RunFolder
from fedloom.files import local_path
from fedloom.handing_out import check_whole, tuned_bench
from fedloom.models.catalogue import catalogue
from fedloom.models.encoders import TextEncoder
from fedloom.models.load import load_model
from fedloom.overrides import parse_overrides
from fedloom.recipe import Recipe
from fedloom.registry import checked_settings
from fedloom.resolve import load_recipe

TUNED, BASE, MODEL = "tuned", "base", "model"


def chosen_suites(names: Sequence[str], words: Sequence[str]) -> dict[str, Suite]:
    """name -> suite, with the settings `words`, each SUITE.KEY=VALUE. Raises RecipeError for what is unknown, or lacking."""
    if not names:
        raise RecipeError(f"--suite: name one or more, with commas between; known: {', '.join(suites.names())}")
    if twice := [name for place, name in enumerate(names) if name in names[:place]]:
        raise RecipeError(f"--suite: {twice[0]} stands there twice; name each suite once")
    chosen = {name: suites.get(name) for name in names}
    given: dict[str, dict[str, Any]] = {name: {} for name in names}
    for key, value in parse_overrides([*words]).items():
        name, dot, setting = key.partition(".")
        if not dot or name not in given:
            raise RecipeError(f"{key}: should be SUITE.KEY=VALUE, SUITE being one of --suite: {', '.join(names)}")
        given[name][setting] = value
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
    found: dict[str, dict[str, Models]] = {name: {} for name in chosen}
    systems = list(_systems(place, base, public))
    for _, says, _ in systems:
        for suite in chosen.values():
            suite.allow(says)
    for system, says, opened in systems:
        talker = opened(batch_size, says)
        for name, suite in chosen.items():
            found[name][system] = [suite.score(talker, progress(system, name))]
            if not found[name][system][0]:
                raise RecipeError(f"{name}: has no row to score")
    results = [evaluated(name, suite, found[name]) for name, suite in chosen.items()]
    if target := folder or (RunFolder(Path(place)).path / FOLDER if _is_run(place) else None):
        for one in results:
            keep(one, target)
    return results


def _systems(place: str, base: bool, public: bool) -> Iterator[tuple[str, Provenance, Callable[[int, Provenance], Talker]]]:
    """(name, provenance of what it says, what opens it) of each system: opened one after another, no two models are held at once."""
    if not _is_run(place):
        yield MODEL, _base_says(place, public), partial(_of_model, Recipe.model_validate({"model": {"id": place, "adapter": None}}))
        return
    recipe = load_recipe(Path(place) / "recipe.yaml")
    if not talks(recipe):
        raise ModelError(f"{place}: was trained to choose a label ({recipe.task.kind}) and cannot talk, which suites ask for")
    check_whole(recipe, Path(place))
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
    return Talker(loaded.model, loaded.tokenizer, template, identity_of(loaded.sha256, "", recipe.model), batch_size, says)


def _of_run(recipe: Recipe, run_folder: Path, batch_size: int, says: Provenance) -> Talker:
    bench = tuned_bench(recipe, RunFolder(run_folder))
    encoder = bench.encoder
    assert isinstance(encoder, TextEncoder)
    identity = identity_of(bench.sha256, bench.parameters.state().sha256(), recipe.model)
    return Talker(bench.model, encoder.tokenizer, encoder.template, identity, batch_size, says)
