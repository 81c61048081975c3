"""The registry: a name in a recipe, a part, its settings, and an answer for every wrong word."""

from dataclasses import dataclass, field
from typing import Annotated, Any, Literal

import pytest
from pydantic import Field

import fedloom.registry
from fedloom.algorithms import algorithms
from fedloom.errors import RecipeError
from fedloom.hooks import behaviours, finish_steps, prepare_steps, probes
from fedloom.models.kinds import kinds
from fedloom.registry import Registry, Setting, checked_settings, nearest, settings_of
from fedloom.tasks import tasks


@dataclass
class Weaver:
    """A part with settings of all sorts."""

    threads: Annotated[int, Field(ge=1, description="threads at once")]
    pattern: Literal["plain", "twill"] = "plain"
    colors: list[str] = field(default_factory=lambda: ["red"])
    woven: int = field(init=False, default=0)
    _hidden: int = 0


def splice(rows, *, share: float = 0.5):
    return rows, share


def looms():
    registry = Registry("loom")
    registry.register("weaver")(Weaver)
    return registry


def test_a_registered_part_is_found_by_its_name():
    registry = looms()
    assert registry.get("weaver") is Weaver
    assert "weaver" in registry
    assert "spinner" not in registry
    assert registry.names() == ["weaver"]


@pytest.mark.parametrize(("word", "answer"), [("weavr", "; did you mean 'weaver'?"), ("xyz", "; known: weaver")])
def test_an_unknown_name_is_answered_with_the_nearest_or_all(word, answer):
    with pytest.raises(RecipeError) as caught:
        looms().get(word)
    assert str(caught.value) == f"unknown loom '{word}'{answer}"
    assert nearest(word, {"weaver"}) == answer


def test_a_name_is_taken_once():
    registry = looms()
    registry.register("weaver")(Weaver)  # the same part again, as when a module is loaded twice
    with pytest.raises(RecipeError, match=r"the loom 'weaver' is registered twice: .*Weaver and .*splice"):
        registry.register("weaver")(splice)


def test_other_packages_add_parts_by_entry_points(monkeypatch):
    registry, asked = Registry("prepare step"), []

    class Entry:
        def load(self):
            registry.register("theirs")(splice)

    def entry_points(group):
        asked.append(group)
        return [Entry()]

    monkeypatch.setattr(fedloom.registry, "entry_points", entry_points)
    assert registry.get("theirs") is splice
    assert registry.names() == ["theirs"]
    assert asked == ["fedloom.prepare_steps"]


def test_a_registry_with_a_base_takes_classes_derived_from_it_only():
    registry = Registry("loom", Weaver)
    registry.register("weaver")(Weaver)
    registry.register("other")(type("Other", (Weaver,), {}))
    for part in (splice, Registry, Weaver(1), 5):
        with pytest.raises(RecipeError, match=r"the loom 'third' should be a class derived from Weaver; .* is none"):
            registry.register("third")(part)
    assert registry.names() == ["other", "weaver"]


class Spins:
    """A base class."""

    def spin(self, wool, turns):
        raise NotImplementedError

    def _own(self):
        """Private."""


def test_a_method_that_cannot_be_called_like_that_of_the_base_is_named():
    registry = Registry("loom", Spins)
    wrong = [
        type("TooFew", (Spins,), {"spin": lambda self, wool: wool}),
        type("TooMany", (Spins,), {"spin": lambda self, wool, turns, more: wool}),
        type("KeywordOnly", (Spins,), {"spin": lambda self, *, wool, turns: wool}),
    ]
    for part in wrong:
        with pytest.raises(RecipeError, match=r"^the loom 'new': spin should take \(wool, turns\) beside self, as Spins\.spin does$"):
            registry.register("new")(part)
    right = [
        type("OtherNames", (Spins,), {"spin": lambda self, a, b, c=1: a}),
        type("Any", (Spins,), {"spin": lambda self, *given: given}),
        type("Private", (Spins,), {"_own": lambda self, other: other}),
        type("Static", (Spins,), {"spin": staticmethod(lambda a, b, c: a)}),
    ]
    for part in right:
        registry.register(part.__name__)(part)


@pytest.mark.parametrize("registry", [algorithms, behaviours, finish_steps, kinds, prepare_steps, probes, tasks], ids=lambda one: one.kind)
def test_functions_are_no_parts_that_have_a_base_class(registry):
    with pytest.raises(RecipeError, match="should be a class derived from"):
        registry.register("function-of-a-test")(splice)


def test_settings_are_the_init_fields_of_a_dataclass():
    assert [(s.name, s.default, s.description) for s in settings_of(Weaver)] == [
        ("threads", ..., "threads at once"),
        ("pattern", "plain", ""),
        ("colors", ["red"], ""),
    ]


def test_settings_are_the_keyword_only_parameters_of_a_function():
    assert settings_of(splice) == [Setting("share", float, 0.5, "")]


def test_given_settings_are_checked_and_completed():
    assert checked_settings(Weaver, {"threads": "3"}, "loom") == {"threads": 3, "pattern": "plain", "colors": ["red"]}


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({}, "loom.threads: is required"),
        ({"threads": 0}, "loom.threads: input should be greater than or equal to 1, got 0"),
        ({"threads": "many"}, "got 'many'"),
        ({"threads": 1, "patern": "twill"}, "loom.patern: unknown key; did you mean 'pattern'?"),
        ({"threads": 1, "pattern": "satin"}, "loom.pattern: input should be 'plain' or 'twill', got 'satin'"),
        ({"threads": 1, "woven": 3}, "loom.woven: unknown key"),
    ],
)
def test_a_wrong_setting_is_named_with_what_was_expected(given, message):
    with pytest.raises(RecipeError) as caught:
        checked_settings(Weaver, given, "loom")
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_part_may_be_derived_from_one_of_several_bases_and_is_held_to_that_one() -> None:
    class Weaver:
        def weave(self, thread: str) -> str:
            raise NotImplementedError

    class Knitter:
        def knit(self, wool: str) -> str:
            raise NotImplementedError

    looms: Registry[Any] = Registry("loom", Weaver, Knitter)

    class Needles(Knitter):
        def knit(self, wool: str) -> str:
            return wool

    looms.register("needles")(Needles)
    assert looms.get("needles") is Needles

    class Broken(Knitter):
        def knit(self) -> str:  # type: ignore[override]
            return ""

    with pytest.raises(RecipeError, match=r"the loom 'broken': knit should take \(wool\) beside self, as Knitter\.knit does"):
        looms.register("broken")(Broken)
    with pytest.raises(RecipeError, match="should be a class derived from Weaver or Knitter"):
        looms.register("none")(int)
