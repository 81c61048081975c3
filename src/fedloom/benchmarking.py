"""The suites of a recipe, `evaluate.suites`: asked when the run is over, of the model that it started from, of some clients' own and of the
joined one."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from functools import partial
from pathlib import Path

from fedloom.errors import RecipeError
from fedloom.evaluation.asking import text_encoder
from fedloom.evaluation.evaluated import FOLDER, Evaluated, evaluated, keep
from fedloom.evaluation.suite import Scored, Suite, named_in
from fedloom.evaluation.suites import suites
from fedloom.evaluation.talker import Talker, identity_of
from fedloom.federation.rounds import Federation
from fedloom.hooks import ServerSide
from fedloom.measures import Measure
from fedloom.recipe import Recipe
from fedloom.state import State

BASE = "base"


def made_suites(recipe: Recipe) -> dict[str, Suite]:
    """kind -> suite of the recipe."""
    return {suite.kind: suites.get(suite.kind)(**suite.settings) for suite in recipe.evaluate.suites}


def check_questions(recipes: Iterable[Recipe]) -> None:
    """Raise a FedloomError when a suite of one of the `recipes` cannot be asked: a file that is not there, a missing extra. Those that
    several have are checked once."""
    parts = [suite for recipe in recipes for suite in recipe.evaluate.suites]
    for part in {str(part.model_dump()): part for part in parts}.values():
        suites.get(part.kind)(**part.settings).check()


def check_suites(chosen: Mapping[str, Suite], server: ServerSide) -> None:
    """Raise a FedloomError, before anything is trained, when a suite cannot be asked, or may not be of a model that was trained so."""
    if chosen:
        text_encoder(server)
    for suite in chosen.values():
        suite.check()
        suite.allow(server.says)


def suite_measures(chosen: Mapping[str, Suite]) -> list[Measure]:
    """Their measures, as SUITE/NAME, as far as they are known before rows are scored."""
    return [named_in(name, measure) for name, suite in chosen.items() for measure in suite.measures]


def ask_suites(
    chosen: Mapping[str, Suite], server: ServerSide, federation: Federation, systems: Mapping[str, Sequence[State]], folder: Path
) -> None:
    """Score each of `systems` (name -> its models) in every suite; recorded as probe/SYSTEM/SUITE/NAME, and row by row in `folder`."""
    found: dict[str, dict[str, list[Sequence[Scored]]]] = {name: {} for name in chosen}
    for system, states in systems.items() if chosen else ():
        for number, state in enumerate(states, start=1):
            talker = _talker(server, state, base=system == BASE)
            model = f"{system} {number} of {len(states)}" if len(states) > 1 else system
            for name, suite in chosen.items():
                rows = suite.score(talker, partial(_tell, server, f"{name}, {model}"))
                if not rows:
                    raise RecipeError(f"evaluate.suites: {name} has no row to score")
                found[name].setdefault(system, []).append(rows)
    for name, suite in chosen.items():
        _record(evaluated(name, suite, found[name]), federation, folder)


def _record(result: Evaluated, federation: Federation, folder: Path) -> None:
    keep(result, folder / FOLDER)
    for text in result.warnings:
        federation.observer.note(f"warning: {text}")
    for system, values in result.systems.items():
        for measure, interval in values.items():
            federation.metric(federation.terms.rounds, None, f"probe/{system}/{result.suite}/{measure}", interval.value)


def _tell(server: ServerSide, stage: str, done: int, total: int) -> None:
    server.progress(stage, done, total, "")


def _talker(server: ServerSide, state: State, base: bool) -> Talker:
    bench, encoder = server.bench, text_encoder(server)
    bench.parameters.load(state)
    identity = identity_of(bench.sha256, "" if base else state.sha256(), bench.recipe)
    return Talker(bench.model, encoder.tokenizer, encoder.template, identity, server.recipe.evaluate.batch_size, server.says)
