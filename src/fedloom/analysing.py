"""The diversity of a federation's data: a source or a recipe -> its clients, analyses of their rows, a folder with what was found."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from fedloom.bench.diversity import Analysis, Tools, analyses
from fedloom.bench.diversity.kept import keep
from fedloom.bench.diversity.running import Analysed, Holding, Tell, holding_of, run_analysis, why_not
from fedloom.data.clients import FederatedData, build_clients
from fedloom.data.record_sequence import described
from fedloom.data.sources import load_records, sources
from fedloom.errors import InterruptedRunError, RecipeError
from fedloom.recipe import Recipe
from fedloom.registry import checked_settings, nearest
from fedloom.report.diversity import FACTS, write_analysed
from fedloom.resolve import MAX_LENGTH, TEMPLATE, load_recipe, preset_names

NAMING = ("client", "owner")
"""Columns whose values are the clients of a source that is given without a recipe."""


def analyse(
    target: str, overrides: Mapping[str, Any], chosen: Sequence[str | Mapping[str, Any]], folder: Path, own: bool, tell: Tell
) -> Analysed:
    """Analyse the rows of `target`, a source or a recipe, with recipe keys overridden, and write what is found into `folder`.

    `chosen` are names of analyses, or mappings of a `kind` with its settings; none: all that the data allows. What is left out then is
    said; one that was chosen and cannot be made is an error. `own`: the rows are the caller's own, and what is found is for his screen.
    Raises RecipeError, DataError, ModelError or MissingExtraError in one line, InterruptedRunError on Ctrl-C.
    """
    _check_folder(folder)
    recipe = analysed_recipe(target, overrides)
    asked = _chosen(chosen)
    data = build_clients(recipe.data, recipe.federation.clients, recipe.seed)
    holding = holding_of({client.name: client.train for client in data.clients}, data.kind, own)
    problems = {name: problem for name, analysis in asked.items() if (problem := why_not(name, analysis, holding))}
    if chosen and problems:
        raise RecipeError(f"--only {next(iter(problems.values()))}")
    tools = Tools(recipe.model, recipe.data.template or TEMPLATE, recipe.data.max_length or MAX_LENGTH, recipe.seed, keep)
    made = {name: analysis for name, analysis in asked.items() if name not in problems}
    versions = {name: analysis.made_with(tools) for name, analysis in made.items()}  # what is absent is said before anything is computed
    try:
        found = {name: run_analysis(name, analysis, holding, tools, tell) for name, analysis in made.items()}
    except KeyboardInterrupt:
        raise InterruptedRunError("stopped; the same command goes on") from None
    analysed = _analysed(recipe, data, holding, made, found, versions, problems)
    write_analysed(analysed, folder)
    return analysed


def analysed_recipe(target: str, overrides: Mapping[str, Any]) -> Recipe:
    """The recipe whose data are analysed: all rows of every client, none held out.

    Of a source, the clients are those of its column `client` or `owner`, unless `overrides` say otherwise; without such a column it is one.
    """
    if Path(target).suffix in (".yaml", ".yml") or (target in preset_names() and target not in sources):
        recipe = load_recipe(target, overrides)
    else:
        raw: dict[str, Any] = {"name": "analysed", "data": {"source": target}}
        if not any(key.split(".")[-2:] == ["federation", "clients"] or "partition" in key or key == "clients" for key in overrides):
            raw |= _clients_of(load_recipe(raw, overrides))
        recipe = load_recipe(raw, overrides)
    return recipe.model_copy(
        update={"data": recipe.data.model_copy(update={"held_out": 0.0, "held_out_by": "random", "duplicates": "keep"})}
    )


def _clients_of(recipe: Recipe) -> dict[str, Any]:
    """The parts of a recipe that make clients of the rows of its source."""
    records = load_records(recipe.data, recipe.seed).records
    fields = next(iter(described(records))).fields
    name = next((name for name in NAMING if name in fields), None)
    data = {"source": recipe.data.source}
    if name is None:
        return {"data": data, "federation": {"clients": 1}}
    return {"data": {**data, "partition": {"kind": "by_field", "field": name}}}


def _chosen(chosen: Sequence[str | Mapping[str, Any]]) -> dict[str, Analysis]:
    """The analyses by name, with their settings checked."""
    found: dict[str, Analysis] = {}
    for one in chosen or analyses.names():
        name, settings = (one, {}) if isinstance(one, str) else (str(one["kind"]), {key: one[key] for key in one if key != "kind"})
        if name not in analyses:
            raise RecipeError(f"--only {name}: unknown analysis '{name}'{nearest(name, analyses.names())}")
        found[name] = analyses.get(name)(**checked_settings(analyses.get(name), settings, f"--only {name}"))
    return found


def _check_folder(folder: Path) -> None:
    if folder.exists() and not folder.is_dir():
        raise RecipeError(f"--out {folder}: is a file; name a folder")
    if folder.is_dir() and any(folder.iterdir()) and not (folder / FACTS).is_file():
        raise RecipeError(f"--out {folder}: holds files of something else; name a new folder, or one of an earlier analysis")


def _analysed(
    recipe: Recipe,
    data: FederatedData,
    holding: Holding,
    made: Mapping[str, Analysis],
    found: Mapping[str, Any],
    versions: Mapping[str, Any],
    problems: Mapping[str, str],
) -> Analysed:
    steps = ["Prepare steps of the recipe are not taken: rows are as the source holds them."] if recipe.prepare else []
    left = [f"{data.left_out:,} rows belong to no client and are left out."] if data.left_out else []
    sizes = {client: len(rows) for client, rows in holding.rows.items()}
    parts = data.origin.split("; ")
    origin = "; ".join(Path(part).name if part.startswith("/") else part for part in parts)  # the page may be handed out
    return Analysed(
        origin,
        data.licences,
        data.sha256,
        sizes,
        holding.private,
        holding.own,
        recipe.model.id,
        recipe.seed,
        made,
        found,
        versions,
        problems,
        [*data.notes, *steps, *left],
    )
