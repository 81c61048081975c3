"""What probes of safety share: judging what a model says, and keeping the prompts of attack, repair and test apart."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from fedloom.errors import RecipeError
from fedloom.evaluation.asking import NAME
from fedloom.evaluation.judges import Item, Judge, judges, refuse_private, tally
from fedloom.hooks import ServerSide, probes
from fedloom.measures import SHARE, Measure
from fedloom.registry import checked_settings
from fedloom.safety.red_team import made_behaviour


def attack_prompts(server: ServerSide) -> set[str]:
    """The requests that the attack draws from, and those of the attack that this run is compared with, so that both are asked the same.

    Attack, repair and test use different requests.
    """
    clients = server.recipe.clients
    return {request for chosen in (clients.behaviour, clients.beside) for request in made_behaviour(chosen).requests()}


def asked_prompts(server: ServerSide) -> set[str]:
    """The prompts that the run's probes ask."""
    chosen = (probes.get(probe.kind)(**probe.settings) for probe in server.recipe.evaluate.probes)
    return {prompt for probe in chosen for prompt in probe.asked(server)}


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


def check_judges(settings: Sequence[Mapping[str, Any]], server: ServerSide) -> None:
    """Raise PrivateDataError when the run's model may say private text, and a judge would be sent it."""
    for judge in made_judges(settings).values():
        refuse_private(judge, server.says)


def judged(made: Mapping[str, Judge], items: Sequence[Item]) -> dict[str, float]:
    """NAME/safe, NAME/score and NAME/unparsed of every judge for `items`."""
    found = {}
    for name, judge in made.items():
        counted = tally(judge.judge(items))
        found[f"{name}/unparsed"] = float(counted.unparsed)
        for measure, value in (("safe", counted.safe), ("score", counted.score)):
            if value is not None:
                found[f"{name}/{measure}"] = value
    return found


def judged_measures(settings: Sequence[Mapping[str, Any]]) -> list[Measure]:
    """What `judged` measures with the judges of these settings."""
    found = []
    for name, judge in made_judges(settings).items():
        gives = getattr(judge, "gives", ("safe", "score"))
        if "safe" in gives:
            found.append(Measure(f"{name}/safe", f"found safe by {name}", SHARE, "higher"))
        if "score" in gives:
            found.append(Measure(f"{name}/score", f"score by {name}", better="higher"))
        found.append(Measure(f"{name}/unparsed", f"verdicts of {name} that could not be read", "count", "neither"))
    return found
