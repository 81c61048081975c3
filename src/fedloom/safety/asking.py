"""What probes share: asking the model on the server, judging what it says, and knowing which prompts attack and test hold."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from fedloom.data.named_sets import NAMED_SETS
from fedloom.data.records import Conversation, Turn
from fedloom.data.sources import load_examples
from fedloom.data.templates import render_prompt
from fedloom.errors import DataError, RecipeError
from fedloom.federation.engines.jobs import made_behaviour
from fedloom.files import version_of, versions_of
from fedloom.hooks import probes
from fedloom.models.generate import generate
from fedloom.recipe import DataRecipe
from fedloom.registry import checked_settings, nearest
from fedloom.safety.judges import Item, Judge, judges, tally
from fedloom.state import State
from fedloom.streams import numpy_stream

if TYPE_CHECKING:
    from fedloom.workshop import Workshop

NAME = r"^[\w.-]+$"
"""What a probe or a judge may be called: its measures' names begin with it."""


def answers_of(state: State, workshop: Workshop, prompts: Sequence[str], max_new_tokens: int) -> list[str]:
    """The greedy answers of the model with `state` on, each prompt a conversation of its own."""
    recipe, tokenizer = workshop.recipe, workshop.loaded.tokenizer
    workshop.bench.parameters.load(state)
    texts = [render_prompt([Turn("user", prompt)], tokenizer, recipe.data.template) for prompt in prompts]
    return generate(workshop.bench.model, tokenizer, texts, max_new_tokens, recipe.evaluate.batch_size)


def attack_prompts(workshop: Workshop) -> set[str]:
    """The requests that the attack draws from, and that of the run that this one stands beside, so that the two are asked the same. What
    attack, repair and test share is of one use only."""
    clients = workshop.recipe.clients
    return {request for chosen in (clients.behaviour, clients.beside) for request in made_behaviour(chosen).requests()}


def asked_prompts(workshop: Workshop) -> set[str]:
    """What the run's probes ask."""
    chosen = (probes.get(probe.kind)(**probe.settings) for probe in workshop.recipe.evaluate.probes)
    return {prompt for probe in chosen for prompt in probe.asked(workshop)}


def check_like(like: str | None, where: str) -> None:
    """Raise RecipeError for a named set that is not known."""
    if like is not None and like not in NAMED_SETS:
        raise RecipeError(f"{where}.like: unknown set '{like}'{nearest(like, NAMED_SETS)}")


def rows_of(source: str, like: str | None, where: str) -> list[Conversation]:
    """The public rows of a source of the user's own, read once for as long as it stays as it is. Raises DataError that begins with `where`,
    the part that names the source."""
    try:
        return list(_read(source, like, f"{version_of(source)} {versions_of(source)}"))
    except DataError as error:
        hint = "; in place of data.fields, name with `like` a set whose columns it has" if "data.fields" in str(error) else ""
        raise DataError(f"{where}: {error}{hint}") from None


@lru_cache(maxsize=8)
def _read(source: str, like: str | None, _version: str) -> tuple[Conversation, ...]:
    return tuple(load_examples(DataRecipe(source=source, like=like, provenance="public"), seed=0).examples)


def drawn(found: Sequence[Any], count: int, seed: int) -> list[Any]:
    """`count` of them, drawn by the seed; all when there are fewer."""
    return [found[i] for i in numpy_stream(seed, "probe").permutation(len(found))[:count]]


def made_judges(settings: Sequence[Mapping[str, Any]]) -> dict[str, Judge]:
    """The name that its measures carry -> the judge, of every judge of a probe. Raises RecipeError with the key that is wrong."""
    made: dict[str, Judge] = {}
    for number, judge in enumerate(settings):
        where, kind = f"evaluate.probes: judges.{number}", str(judge.get("kind"))
        if kind not in judges:
            raise RecipeError(f"{where}.kind: unknown judge {judge.get('kind')!r}; known: {', '.join(judges.names())}")
        name = str(judge.get("name", kind))
        if not re.match(NAME, name):
            raise RecipeError(f"{where}.name: should be letters, digits, dots and dashes, got {name!r}")
        if name in made:
            raise RecipeError(f"{where}: is a second judge called '{name}'; give it a name, which its measures then carry")
        own = {key: value for key, value in judge.items() if key not in ("kind", "name")}
        made[name] = judges.get(kind)(**checked_settings(judges.get(kind), own, where))
    return made


def judged(made: Mapping[str, Judge], items: Sequence[Item]) -> dict[str, float]:
    """NAME/safe, NAME/score and NAME/unparsed of every judge on `items`."""
    found = {}
    for name, judge in made.items():
        counted = tally(judge.judge(items))
        found[f"{name}/unparsed"] = float(counted.unparsed)
        for measure, value in (("safe", counted.safe), ("score", counted.score)):
            if value is not None:
                found[f"{name}/{measure}"] = value
    return found


def prefixed(name: str | None, found: Mapping[str, float]) -> dict[str, float]:
    """`found` under the probe's own name, where it has one."""
    return {f"{name}/{key}" if name else key: value for key, value in found.items()}
