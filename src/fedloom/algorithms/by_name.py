"""Finding an algorithm by the name that a recipe gives it, the short form `local:3` included."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from fedloom.algorithms.base import Algorithm, algorithms
from fedloom.errors import RecipeError
from fedloom.registry import checked_settings, nearest


def get(name: str) -> Callable[..., Algorithm]:
    """The algorithm called `name`, ready to be made with its settings; RecipeError names the nearest known one.

    `local:3` is `local` with its short setting given: `get("local:3")()` equals `get("local")(client=3)`.
    """
    plain, given = split_name(name)
    algorithm = algorithms.get(plain)
    checked = checked_settings(algorithm, given, "algorithm")
    return partial(algorithm, **{key: checked[key] for key in given}) if given else algorithm


def split_name(name: str) -> tuple[str, dict[str, str]]:
    """`local:3` -> ("local", {"client": "3"}); a name without a colon has no settings. The value is unchecked text.

    Raises RecipeError for a name that is not known or that takes nothing behind a colon.
    """
    plain, colon, value = name.partition(":")
    if plain not in algorithms:
        raise RecipeError(f"algorithm.name: unknown algorithm '{plain}'{nearest(plain, algorithms.names())}")
    setting = algorithms.get(plain).short_setting
    if not colon:
        return plain, {}
    if setting is None:
        raise RecipeError(f"algorithm.name: '{plain}' takes nothing behind a colon, got '{name}'")
    return plain, {setting: value}
