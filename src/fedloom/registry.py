"""One registry: a name in a recipe -> a class or function, by decorator, open to other packages through entry points.

A registered class is a dataclass whose fields are its settings: what a recipe writes beside the name is checked against them.
"""

from __future__ import annotations

import dataclasses
import difflib
import inspect
from collections.abc import Callable, Iterable, Mapping
from functools import cache
from importlib.metadata import entry_points
from numbers import Real
from typing import Annotated, Any, Generic, TypeVar, get_args, get_origin, get_type_hints

from pydantic import BaseModel, ConfigDict, ValidationError, create_model
from pydantic.fields import FieldInfo

from fedloom.errors import PartError, RecipeError

T = TypeVar("T")

LONGEST_SHOWN = 100
"""Characters of a wrong value that an error shows."""


def nearest(word: str, known: Iterable[str]) -> str:
    """`; did you mean 'x'?` for the known name closest to `word`, or the list of known names."""
    known = sorted(known)
    close = difflib.get_close_matches(word, known, n=1, cutoff=0.6)
    return f"; did you mean '{close[0]}'?" if close else f"; known: {', '.join(known)}"


class Registry(Generic[T]):
    """Names of one kind of part, `kind` being the word a user knows it by ("algorithm"). With `bases`, parts are classes derived from one.

    Other packages add to it by an entry point in the group `fedloom.<kind>s` (of an analysis `fedloom.analyses`); the entry point's module
    registers itself when loaded.
    """

    def __init__(self, kind: str, *bases: type) -> None:
        self.kind = kind
        self._bases = bases
        self._parts: dict[str, T] = {}
        self._entry_points_loaded = False

    def register(self, name: str) -> Callable[[T], T]:
        """Decorator: make the class or function known to recipes as `name`. A name that is taken is an error."""

        def add(part: T) -> T:
            derived = [base for base in self._bases if isinstance(part, type) and issubclass(part, base)]
            if self._bases and not derived:
                named = " or ".join(base.__name__ for base in self._bases)
                raise RecipeError(f"the {self.kind} '{name}' should be a class derived from {named}; {_origin(part)} is none")
            for base in derived:
                if problem := _misfit(part, base):
                    raise RecipeError(f"the {self.kind} '{name}': {problem}")
            taken = self._parts.get(name)
            if taken is not None and _origin(taken) != _origin(part):
                raise RecipeError(f"the {self.kind} '{name}' is registered twice: {_origin(taken)} and {_origin(part)}")
            self._parts[name] = part
            return part

        return add

    def get(self, name: str) -> T:
        """The part called `name`; RecipeError names the nearest known one."""
        self._load_entry_points()
        if name not in self._parts:
            raise RecipeError(f"unknown {self.kind} '{name}'{nearest(name, self._parts)}")
        return self._parts[name]

    def names(self) -> list[str]:
        self._load_entry_points()
        return sorted(self._parts)

    def __contains__(self, name: str) -> bool:
        self._load_entry_points()
        return name in self._parts

    def _load_entry_points(self) -> None:
        if not self._entry_points_loaded:
            self._entry_points_loaded = True
            plural = self.kind.removesuffix("is") + "es" if self.kind.endswith("is") else self.kind + "s"
            for entry in entry_points(group=f"fedloom.{plural.replace(' ', '_')}"):
                entry.load()


def gave(value: Any, kind: Any, where: str) -> Any:
    """`value`, when it is a `kind`. Raises PartError when it is not, naming it as `where`: a part of a plugin may give anything."""
    if not isinstance(value, kind):
        raise PartError(f"{where} should be a {kind.__name__}, not a {type(value).__name__}")
    return value


def gave_numbers(value: Any, where: str) -> dict[str, float]:
    """`value`, when it maps names to numbers. Raises PartError, which shows none of them, when it does not."""
    for name, number in gave(value, Mapping, where).items():
        if not isinstance(name, str) or isinstance(number, bool) or not isinstance(number, Real):
            raise PartError(f"{where} should map texts to numbers, not a {type(name).__name__} to a {type(number).__name__}")
    return {name: float(number) for name, number in value.items()}


def _misfit(part: Any, base: type) -> str:
    """Which method of `part` cannot be called like the one of its `base` class, in words; an empty string where all can."""
    for method, of_base in vars(base).items():
        own = getattr(part, method)
        if not method.startswith("_") and inspect.isfunction(of_base) and inspect.isfunction(own) and own is not of_base:
            expected = [one for one in inspect.signature(of_base).parameters.values() if one.kind is one.POSITIONAL_OR_KEYWORD]
            try:
                inspect.signature(own).bind(*expected)
            except TypeError:
                shown = ", ".join(one.name for one in expected[1:])
                return f"{method} should take ({shown}) beside self, as {base.__name__}.{method} does"
    return ""


def _origin(part: Any) -> str:
    return f"{getattr(part, '__module__', '?')}.{getattr(part, '__qualname__', part)}"


@dataclasses.dataclass(frozen=True)
class Setting:
    """One setting of a registered part: what the recipe reference prints."""

    name: str
    type: Any
    default: Any
    description: str
    place: bool = False
    """Whether it may name a local file or folder, by `Field(json_schema_extra=PLACE)`: a recipe then keeps its absolute path."""
    of_server: bool = False
    """Whether the server alone reads that file or folder, by `SERVER_PLACE`."""
    parts: Registry[Any] | None = None
    """The registry of the part that it holds, or of the list of parts, by `parts_of`: mappings with a `kind` and its settings."""


PLACE: dict[str, Any] = {"place": True}
SERVER_PLACE: dict[str, Any] = {"place": True, "of_server": True}

Where = tuple[str | int, ...]
"""Where a setting stands within the settings of a part: names of settings, and places in lists."""


def parts_of(registry: Registry[Any]) -> dict[str, Any]:
    """For `Field(json_schema_extra=...)`: the setting holds a part of `registry`, or a list of them."""
    return {"parts": registry}


def settings_of(part: Any) -> list[Setting]:
    """The settings of a registered dataclass (its init fields) or function (its keyword-only parameters)."""
    hints = get_type_hints(part, include_extras=True)
    found = []
    if dataclasses.is_dataclass(part):
        for field in dataclasses.fields(part):
            if field.init and not field.name.startswith("_"):
                default = field.default_factory() if field.default_factory is not dataclasses.MISSING else field.default
                default = ... if default is dataclasses.MISSING else default
                hint = hints[field.name]
                found.append(_setting(field.name, hint, default))
    else:
        for parameter in inspect.signature(part).parameters.values():
            if parameter.kind is inspect.Parameter.KEYWORD_ONLY:
                default = ... if parameter.default is inspect.Parameter.empty else parameter.default
                hint = hints.get(parameter.name, Any)
                found.append(_setting(parameter.name, hint, default))
    return found


def _setting(name: str, hint: Any, default: Any) -> Setting:
    infos = _field_infos(hint)
    description = next((info.description for info in infos if info.description), "")
    extra = next((info.json_schema_extra for info in infos if isinstance(info.json_schema_extra, dict)), {})
    parts: Any = extra.get("parts")
    return Setting(name, hint, default, description, bool(extra.get("place")), bool(extra.get("of_server")), parts)


def places_in(part: Any, settings: Mapping[str, Any]) -> dict[Where, tuple[Setting, str]]:
    """Where -> (setting, value) of every setting that may name a local file or folder, in `settings` of `part` and in the parts in them."""
    found: dict[Where, tuple[Setting, str]] = {}
    for setting in settings_of(part):
        value = settings.get(setting.name)
        if setting.place and isinstance(value, str):
            found[setting.name,] = setting, value
        if setting.parts is not None:
            for where, inner in _held(setting.name, value):
                if str(inner.get("kind")) in setting.parts:
                    held = places_in(setting.parts.get(str(inner["kind"])), inner)
                    found |= {(*where, *rest): one for rest, one in held.items()}
    return found


def with_values(settings: Mapping[str, Any], values: Mapping[Where, Any]) -> dict[str, Any]:
    """A copy of `settings` with other `values` in their places."""
    copy = {**settings}
    for (first, *rest), value in values.items():
        copy[str(first)] = _replaced(copy[str(first)], rest, value)
    return copy


def _replaced(holder: Any, where: list[str | int], value: Any) -> Any:
    if not where:
        return value
    copy: Any = list(holder) if isinstance(holder, list) else dict(holder)
    copy[where[0]] = _replaced(holder[where[0]], where[1:], value)
    return copy


def _held(name: str, value: Any) -> list[tuple[Where, Mapping[str, Any]]]:
    """(where, settings) of the part, or of every part of the list, that the setting `name` holds."""
    if isinstance(value, Mapping):
        return [((name,), value)]
    return [((name, number), one) for number, one in enumerate(value) if isinstance(one, Mapping)] if isinstance(value, list) else []


def _field_infos(hint: Any) -> list[FieldInfo]:
    return [extra for extra in get_args(hint)[1:] if isinstance(extra, FieldInfo)] if get_origin(hint) is Annotated else []


def checked_settings(part: Any, given: Mapping[str, Any], where: str) -> dict[str, Any]:
    """`given` checked against the settings of `part` and completed with defaults; RecipeError names `where`.key."""
    settings, model = _schema_of(part)
    for key in given:
        if key not in settings:
            raise RecipeError(f"{where}.{key}: unknown key{nearest(key, settings)}")
    try:
        checked = model(**given)
    except ValidationError as error:
        raise RecipeError(one_line(error.errors()[0], where)) from None
    found = {name: getattr(checked, name) for name in settings}
    return {name: _completed(settings[name].parts, value, f"{where}.{name}") for name, value in found.items()}


def _completed(parts: Registry[Any] | None, value: Any, where: str) -> Any:
    """`value` with the settings of every part that it holds checked and completed."""
    if parts is None or value is None:
        return value
    if isinstance(value, list):
        return [_completed(parts, one, f"{where}.{number}") for number, one in enumerate(value)]
    own = dict(value)
    kind = own.pop("kind", None)
    if kind is None:
        raise RecipeError(f"{where}.kind: is required; known: {', '.join(parts.names())}")
    if str(kind) not in parts:
        raise RecipeError(f"{where}.kind: unknown {parts.kind} '{kind}'{nearest(str(kind), parts.names())}")
    part = parts.get(str(kind))
    called = {"name": own.pop("name")} if "name" in own and "name" not in _schema_of(part)[0] else {}
    return {"kind": kind, **called, **checked_settings(part, own, where)}


@cache
def _schema_of(part: Any) -> tuple[dict[str, Setting], type[BaseModel]]:
    """The settings of a registered part, and the model that checks them: made once, since every site of a federation checks its terms."""
    settings = {setting.name: setting for setting in settings_of(part)}
    fields: dict[str, Any] = {s.name: (s.type, s.default) for s in settings.values()}
    return settings, create_model("Settings", __config__=ConfigDict(extra="forbid", validate_default=False), **fields)


def shortened(text: str) -> str:
    """`text`, or its first `LONGEST_SHOWN` characters."""
    return text if len(text) <= LONGEST_SHOWN else f"{text[:LONGEST_SHOWN]}..."


def one_line(problem: Mapping[str, Any], where: str = "") -> str:
    """A pydantic error as `key: what was expected, got value`."""
    key = ".".join(str(part) for part in (where, *problem["loc"]) if part != "")
    if problem["type"] == "missing":
        return f"{key}: is required"
    got = problem.get("input")
    if problem["type"] in ("too_short", "too_long"):
        bound = "at least" if problem["type"] == "too_short" else "at most"
        count = problem["ctx"]["min_length" if problem["type"] == "too_short" else "max_length"]
        return f"{key}: should have {bound} {count} item{'s' * (count != 1)}, got {problem['ctx']['actual_length']}"
    shown = "" if isinstance(got, dict | list) else f", got {shortened(repr(got))}"
    if problem["type"] == "string_type" and isinstance(got, bool):
        shown += "; YAML reads yes, no, on and off as true and false: put quotes around the word"
    if problem["type"] == "string_type" and isinstance(got, dict):
        shown += ", got a mapping; YAML reads a text that ends with a colon as one: put quotes around it, or write what follows the colon"
    return f"{key}: {problem['msg'][0].lower()}{problem['msg'][1:]}{shown}"
