"""A recipe file and its overrides -> a checked recipe with every default written out. The only module that knows all registries."""

from __future__ import annotations

import math
import re
from collections.abc import Container, Iterable, Mapping
from dataclasses import is_dataclass, replace
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from fedloom.compatible import (
    check_algorithm,
    check_behaviour,
    check_finish_kinds,
    check_lengths,
    check_membership,
    check_model,
    check_privacy,
    check_probe_names,
    check_splits,
    samples_taken,
)
from fedloom.errors import RecipeError
from fedloom.files import local_path
from fedloom.overrides import override, part_of, with_floats
from fedloom.plugins import load_plugin
from fedloom.recipe import AlgorithmRecipe, NamedPart, Recipe
from fedloom.registry import Registry, checked_settings, nearest, one_line, places_in, with_values
from fedloom.yaml_text import YamlError, parse_yaml

PRESETS = Path(__file__).parent / "recipes"

TEMPLATE, MAX_LENGTH = "chat", 512
"""data.template and data.max_length of a run on conversations that does not set them."""


def load_recipe(source: Recipe | str | Path | Mapping[str, Any], overrides: Mapping[str, Any] | None = None) -> Recipe:
    """A checked and completed recipe from a path, the name of a preset, a mapping, or a recipe, with `overrides` (dotted keys) applied.

    A bare key that is no part of a recipe (`rounds=20`) stands for the one key of that name deeper down. Plugins that a file names have to
    be trusted (`fedloom.plugins`). Raises RecipeError with one line for the first key that is wrong.
    """
    from_file = not isinstance(source, Recipe | Mapping)
    if isinstance(source, Recipe):
        raw, folder = source.plain(), Path.cwd()
    elif isinstance(source, Mapping):
        raw, folder = _plain_copy(source), Path.cwd()
    else:
        path = find_recipe(source)
        raw, folder = _read_yaml(path), path.parent
    for key, value in (overrides or {}).items():
        override(raw, key, value)
    if "plugins" in (overrides or {}):
        folder, from_file = Path.cwd(), False  # what is typed is meant from where it is typed, not from where the preset lies
    _refuse_infinite(raw)
    plugins = raw.get("plugins") or []
    if not isinstance(plugins, list) or not all(isinstance(plugin, str) for plugin in plugins):
        raise RecipeError("plugins: should be a list of Python files")
    raw["plugins"] = [load_plugin(plugin, folder, trusted=not from_file) for plugin in plugins]
    try:
        recipe = Recipe.model_validate(raw)
    except ValidationError as error:
        raise RecipeError(_explain(error)) from None
    completed = _complete(recipe)
    _refuse_yes_as_number(raw, completed.plain())
    return completed


def find_recipe(name: str | Path) -> Path:
    """A file, or a preset by name (`tiny`, `tiny.yaml`, `recipes/tiny.yaml`)."""
    path = local_path(name)
    if path.is_file():
        return path
    preset = PRESETS / f"{path.name.removesuffix('.yaml')}.yaml"
    if preset.is_file() and path.parent.name in ("", "recipes"):
        return preset
    raise RecipeError(f"{name}: no such recipe{nearest(path.name.removesuffix('.yaml'), preset_names())}")


def preset_names() -> list[str]:
    return sorted(path.stem for path in PRESETS.glob("*.yaml"))


def _read_yaml(path: Path) -> dict[str, Any]:
    try:
        raw = parse_yaml(path.read_text(encoding="utf-8"))
    except UnicodeDecodeError as error:
        raise RecipeError(f"{path}: is not UTF-8 text (byte {error.start})") from None
    except YamlError as error:
        where = f":{error.line}" if error.line else ""
        raise RecipeError(f"{path}{where}: is not valid YAML ({error.problem})") from None
    if not isinstance(raw, dict):
        raise RecipeError(f"{path}: should be a mapping of recipe keys, such as `name: my-run`")
    found: dict[str, Any] = with_floats(raw)
    return found


def _plain_copy(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _plain_copy(item) for key, item in value.items()}
    return [_plain_copy(item) for item in value] if isinstance(value, list | tuple) else value


def _refuse_infinite(value: Any, where: str = "") -> None:
    """Raise RecipeError for a number that JSON cannot hold, wherever it stands."""
    for key, item in _items(value):
        if isinstance(item, float) and not math.isfinite(item):
            raise RecipeError(f"{where}{key}: should be a finite number, got {item}")
        _refuse_infinite(item, f"{where}{key}.")


def _refuse_yes_as_number(given: Any, read: Any, where: str = "") -> None:
    """Raise RecipeError for a true or false of a recipe that was read as 1 or 0."""
    found = dict(_items(read))
    for key, item in _items(given):
        if isinstance(item, bool) and isinstance(found.get(key), int | float) and not isinstance(found[key], bool):
            raise RecipeError(f"{where}{key}: should be a number, got {str(item).lower()}")
        _refuse_yes_as_number(item, found.get(key), f"{where}{key}.")


def _items(value: Any) -> Iterable[tuple[Any, Any]]:
    return value.items() if isinstance(value, Mapping) else enumerate(value) if isinstance(value, list | tuple) else ()


def _explain(error: ValidationError) -> str:
    problem = error.errors()[0]
    if problem["type"] == "extra_forbidden":
        *parents, key = problem["loc"]
        model: Any = Recipe
        for parent in parents:
            if isinstance(parent, str):
                model = part_of(model.model_fields[parent].annotation)
        known = model.model_fields if model else ()
        return f"{'.'.join(map(str, problem['loc']))}: unknown key{nearest(str(key), known)}"
    return one_line(problem).replace("value error, ", "")


def _complete(recipe: Recipe) -> Recipe:
    """Check the settings of every part that is chosen by name, and write their defaults out."""
    import fedloom.bench
    import fedloom.evaluation.answers
    import fedloom.evaluation.canaries
    import fedloom.privacy.scrubbing
    import fedloom.safety
    import fedloom.synthesis  # noqa: F401 - register their parts
    from fedloom.algorithms import algorithms, split_name
    from fedloom.clusters import clusterings
    from fedloom.data.partition import partitioners
    from fedloom.evaluation.suites import suites
    from fedloom.federation.codec import codecs
    from fedloom.hooks import behaviours, finish_steps, prepare_steps, probes
    from fedloom.report.loggers import loggers
    from fedloom.tasks import tasks

    _check_name(recipe.federation.codec, codecs, "federation.codec")
    for logger in recipe.loggers:
        _check_name(logger, loggers, "loggers")
    known = _known_names()
    plain = recipe.plain()
    plain["data"]["partition"] = _completed(recipe.data.partition, partitioners, "data.partition", "kind", known)
    plain["task"] = _completed(recipe.task, tasks, "task", "kind", known)
    check_model(recipe)
    check_splits(recipe)
    plain["data"] |= _data(recipe, plain["task"], known)
    check_lengths(plain["task"], plain["data"]["max_length"])
    plain["model"]["id"] = _anchored(recipe.model.id, known)
    name, short = split_name(recipe.algorithm.name)
    _check_defaults(recipe.algorithm.defaults, algorithms)
    chosen = AlgorithmRecipe.model_validate({**recipe.algorithm.defaults.get(name, {}), **recipe.algorithm.settings, **short, "name": name})
    plain["algorithm"] = _completed(chosen, algorithms, "algorithm", "name", known)
    algorithm = algorithms.get(name)(**{key: value for key, value in plain["algorithm"].items() if key != "name"})
    plain["algorithm"]["defaults"] = recipe.algorithm.defaults
    check_algorithm(recipe, name, algorithm)
    plain["prepare"] = [_completed(step, prepare_steps, f"prepare.{i}", "kind", known) for i, step in enumerate(recipe.prepare)]
    plain["finish"] = [_completed(step, finish_steps, f"finish.{i}", "kind", known) for i, step in enumerate(recipe.finish)]
    check_privacy(recipe, plain["task"], plain["prepare"], plain["finish"], algorithm)
    check_membership(recipe)
    for i, step in enumerate(plain["prepare"]):
        _refuse_missing_places(step, known, f"prepare.{i}")
    check_finish_kinds(plain["finish"])
    plain["data"]["held_out"] = _share_held_out(recipe)
    plain["evaluate"]["samples"] = samples_taken(recipe, algorithm.measured_with_memory)
    plain["evaluate"]["source"] = _anchored(recipe.evaluate.source, known) if recipe.evaluate.source else None
    asked = recipe.evaluate.probes
    plain["evaluate"]["probes"] = [_completed(probe, probes, f"evaluate.probes.{i}", "kind", known) for i, probe in enumerate(asked)]
    check_probe_names(plain["evaluate"]["probes"])
    named = recipe.evaluate.suites
    plain["evaluate"]["suites"] = [_completed(suite, suites, f"evaluate.suites.{i}", "kind", known) for i, suite in enumerate(named)]
    if recipe.evaluate.clusters:
        plain["evaluate"]["clusters"] = _completed(recipe.evaluate.clusters, clusterings, "evaluate.clusters", "kind", known)
    for key, behaviour in (("behaviour", recipe.clients.behaviour), ("beside", recipe.clients.beside)):
        if behaviour is not None:
            plain["clients"][key] = _completed(behaviour, behaviours, f"clients.{key}", "kind", known)
            check_behaviour(behaviour.kind, recipe.task.kind, f"clients.{key}.kind")
    return Recipe.model_validate(plain)


def _known_names() -> list[str]:
    """Names of sources, models and policies: they are no paths, even where a file of that name is there."""
    from fedloom.data.sources import sources
    from fedloom.models.catalogue import catalogue
    from fedloom.models.kinds import kinds
    from fedloom.safety.policy import policy_names

    networks = [name for kind in kinds.names() for name in kinds.get(kind).networks]
    return [*sources.names(), *(model.id for model in catalogue()), *networks, *policy_names()]


def _check_name(name: str, registry: Any, where: str) -> None:
    if name not in registry:
        raise RecipeError(f"{where}: unknown {registry.kind} '{name}'{nearest(name, registry.names())}")


def _check_defaults(defaults: Mapping[str, Mapping[str, Any]], algorithms: Registry[Any]) -> None:
    """Raise RecipeError for settings of an algorithm that is not there, or does not have them."""
    for name, settings in defaults.items():
        _check_name(name, algorithms, "algorithm.defaults")
        checked_settings(algorithms.get(name), settings, f"algorithm.defaults.{name}")


def _completed(part: NamedPart, registry: Any, where: str, key: str, known: Container[str]) -> dict[str, Any]:
    """The settings of a part chosen by name, checked against the registered class, completed, and with absolute paths."""
    name = getattr(part, key)
    _check_name(name, registry, f"{where}.{key}")
    settings = checked_settings(registry.get(name), part.settings, where)
    places = places_in(registry.get(name), settings)
    settings = with_values(settings, {place: _anchored(value, known) for place, (_, value) in places.items()})
    if is_dataclass(registry.get(name)):
        registry.get(name)(**settings)  # a part refuses settings that do not go together when it is made
    return {key: name, **settings}


def _data(recipe: Recipe, task: Mapping[str, Any], known: Container[str]) -> dict[str, Any]:
    """`data.source` with absolute paths, and the keys that belong to conversations: completed for them, refused for other records."""
    from fedloom.data.named_sets import NAMED_SETS
    from fedloom.models.kinds import kinds
    from fedloom.tasks import tasks

    data, kind = recipe.data, tasks.get(task["kind"])
    templated = kinds.get(kind.model_kind).takes_template
    for key, like in (("data.like", data.like), ("evaluate.like", recipe.evaluate.like)):
        if like is not None and like not in NAMED_SETS:
            raise RecipeError(f"{key}: unknown set '{like}'{nearest(like, NAMED_SETS)}")
    source = _anchored(data.source, known)
    if data.picture_size is not None and kind.record not in ("picture", "capture"):
        raise RecipeError(f"data.picture_size: belongs to pictures and captures, and {task['kind']} takes {kind.record}s; leave it out")
    if kind.record == "conversation":
        if not templated and data.template is not None:
            raise RecipeError(f"data.template: {task['kind']} reads the words of a conversation, and no template; leave it out")
        template = data.template or TEMPLATE if templated else None
        return {"source": source, "template": template, "max_length": data.max_length or MAX_LENGTH}
    for key in ("template", "max_length"):
        if getattr(data, key) is not None:
            raise RecipeError(f"data.{key}: belongs to conversations, and {task['kind']} takes {kind.record}s; leave it out")
    return {"source": source}


def _share_held_out(recipe: Recipe) -> float:
    """`data.held_out`: 0 beside a source of its own for what is measured."""
    evaluate, held_out = recipe.evaluate, recipe.data.held_out
    for key in ("like", "split", "provenance"):
        if evaluate.source is None and getattr(evaluate, key) is not None:
            raise RecipeError(f"evaluate.{key}: belongs to evaluate.source, which is not set")
    if evaluate.source is None:
        return held_out
    if held_out and "held_out" in recipe.data.model_fields_set:
        raise RecipeError(f"data.held_out: is {held_out:g}, and evaluate.source gives what is measured; write 0, or leave one of them out")
    return 0.0


def _anchored(name: str, known: Container[str]) -> str:
    """A local path as an absolute one, so that a run can be resumed from another folder; a `known` or other name as it is."""
    from fedloom.data.source_names import JOINED, joined_sources, part_of
    from fedloom.data.sources import PLACES, forms

    if name.startswith(JOINED):
        return JOINED + ",".join(_anchored(source, known) for source in joined_sources(name))
    if part := part_of(name):
        return str(replace(part, source=_anchored(part.source, known)))
    form, colon, rest = name.partition(":")
    if colon and form in forms:
        if form in PLACES:
            return f"{form}:{local_path(rest).resolve()}"
        file, colon, use = rest.partition(":")
        return f"{form}:{_anchored(file, known)}{colon}{use}" if Path(file).suffix in (".yaml", ".yml") else name
    path = local_path(name)
    return str(path.resolve()) if name not in known and path.exists() else name


def _refuse_missing_places(step: Mapping[str, Any], known: Container[str], where: str) -> None:
    """Raise RecipeError for a setting of a prepare step that names a file which is not there: its clients agree on the file's hash."""
    from fedloom.hooks import prepare_steps

    for place, (_, name) in places_in(prepare_steps.get(step["kind"]), step).items():
        is_path = name.startswith(("/", ".", "~")) or ("/" not in name and re.search(r"\.[a-z]+$", name))
        if is_path and name not in known and not local_path(name).exists():
            raise RecipeError(f"{where}.{'.'.join(map(str, place))}: {local_path(name).absolute()}: no such file or folder")
