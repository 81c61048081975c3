"""Keys that are set from outside a recipe: `federation.rounds=6`, or `rounds=6` where that is clear."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from types import UnionType
from typing import Any, get_args

from pydantic import BaseModel

from fedloom.errors import RecipeError
from fedloom.recipe import Part, Recipe
from fedloom.registry import nearest, shortened
from fedloom.yaml_text import YamlError, parse_yaml


def parse_overrides(words: list[str]) -> dict[str, Any]:
    """`a.b=c` words of a command line -> {key: value}; values are read as YAML, so that numbers are numbers and null is null."""
    found = {}
    for word in words:
        key, equals, value = word.partition("=")
        if not equals or not key:
            raise RecipeError(f"'{word}' is not of the form key=value")
        try:
            found[key.strip()] = _yaml_value(value)
        except YamlError as error:
            shown = shortened(value)
            raise RecipeError(f"{key}: '{shown}' is not a YAML value ({error.problem}); put quotes around special characters") from None
    return found


def override(raw: dict[str, Any], key: str, value: Any) -> None:
    """Set the dotted `key` of the plain recipe `raw`.

    A bare key that is no part of a recipe stands for the one key of that name deeper down.
    Raises RecipeError for a key that is unknown, or could be several.
    """
    path = key.split(".")
    if len(path) == 1 and (key not in Recipe.model_fields or _means_deeper(key, value)):
        path = _deeper(key).split(".")
    elif path[0] not in Recipe.model_fields:
        raise RecipeError(f"{key}: unknown key{nearest(path[0], Recipe.model_fields)}")
    part: Any = raw
    for place, step in enumerate(path[:-1]):
        if isinstance(part, list):
            part = part[_number(part, path[:place], step)]
        else:
            if not isinstance(part.get(step), dict | list):
                part[step] = {}
            part = part[step]
    if isinstance(part, list):
        part[_number(part, path[:-1], path[-1])] = value
    else:
        part[path[-1]] = value


def _number(part: Sequence[Any], path: Sequence[str], step: str) -> int:
    """The number `step` of an entry of the list at `path`. Raises RecipeError when there is no such entry."""
    where, last = ".".join(path), len(part) - 1
    if not step.isdecimal() or int(step) > last:
        entries = f"is a list with the entries 0 to {last}" if part else "is an empty list"
        raise RecipeError(f"{where}.{step}: {where} {entries}; name one of them, such as {where}.0.KEY, or write the whole list")
    return int(step)


def part_of(annotation: Any) -> type[BaseModel] | None:
    """The part of a recipe that a key of this type holds, if it holds one; a part that may be null included."""
    for kind in get_args(annotation) if isinstance(annotation, UnionType) else (annotation,):
        if isinstance(kind, type) and issubclass(kind, Part):
            return kind
    return None


def with_floats(value: Any) -> Any:
    """`value` with texts such as `1e-3` as numbers: YAML 1.1 reads them as text, and users mean the number."""
    if isinstance(value, dict):
        return {key: with_floats(item) for key, item in value.items()}
    if isinstance(value, list):
        return [with_floats(item) for item in value]
    return float(value) if isinstance(value, str) and re.fullmatch(r"[+-]?\d+(\.\d*)?[eE][+-]?\d+", value) else value


def _yaml_value(text: str) -> Any:
    return with_floats(parse_yaml(text)) if text.strip() else ""


def _means_deeper(key: str, value: Any) -> bool:
    """Whether a part's name with a plain value stands for a key deeper down: clients=4 is federation.clients=4."""
    part = part_of(Recipe.model_fields[key].annotation)
    return part is not None and not isinstance(value, Mapping) and any(known.endswith(f".{key}") for known in _dotted_keys(Recipe))


def _deeper(leaf: str) -> str:
    """The one dotted key whose last step is `leaf`."""
    from fedloom.tasks import tasks

    known = _dotted_keys(Recipe)
    known |= {f"task.{field}" for field in getattr(tasks.get("sft"), "__dataclass_fields__", {})}
    matches = sorted(key for key in known if key.rsplit(".", 1)[-1] == leaf)
    if not matches:
        raise RecipeError(f"{leaf}: unknown key{nearest(leaf, {key.rsplit('.', 1)[-1] for key in known})}")
    if len(matches) > 1:
        raise RecipeError(f"{leaf}: could be {' or '.join(matches)}; write the one you mean in full")
    return matches[0]


def _dotted_keys(model: type[BaseModel], prefix: str = "") -> set[str]:
    keys = set()
    for name, field in model.model_fields.items():
        inner = part_of(field.annotation)
        if inner:
            keys |= _dotted_keys(inner, f"{prefix}{name}.")
        if inner is not field.annotation:
            keys.add(prefix + name)
    return keys
