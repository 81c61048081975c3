"""What the joined model is compared with: the base model, the majority answer, each client alone, all data in one place."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from concurrent.futures import ThreadPoolExecutor
from statistics import fmean
from typing import Any, Protocol

from fedloom.federation.membership import measure_membership
from fedloom.federation.opening import open_federation
from fedloom.federation.rounds import Federation, evaluate, run_rounds
from fedloom.federation.run_folder import RunFolder
from fedloom.recipe import AlgorithmRecipe, FederationRecipe, Recipe
from fedloom.state import State

MEASURED = ("held_out/", "membership/")
"""How the names of what is measured of a baseline begin."""


class Closing(Protocol):
    def close(self) -> None: ...


def baseline_recipes(recipe: Recipe, kind: str, owners: int, left_out: Collection[int] = ()) -> dict[str, Recipe]:
    """Recipes of a baseline by folder name.

    local: each client alone but for those at the positions `left_out`, for as many rounds and steps as in the federation. centralized: one
    trainer with all rows, but for those of malicious clients; each of its steps takes as many rows as all clients of a round take
    together, so that it sees as much data in as many steps.
    """
    federation = recipe.federation.model_dump() | {
        "clients": None,
        "per_round": None,
        "quorum": 1,
        "codec": "fp32",
        "delay": 0,
        "max_update_norm": None,
    }
    task = recipe.task.model_dump() | {"participations": None}  # a client alone takes part in every round
    alone = {"federation": FederationRecipe.model_validate(federation), "task": type(recipe.task).model_validate(task)}
    if kind == "local":
        return {
            f"local-{k}": recipe.model_copy(update=alone | {"algorithm": AlgorithmRecipe.model_validate({"name": "local", "client": k})})
            for k in range(owners)
            if k not in left_out
        }
    task["accumulation"] *= recipe.federation.per_round or owners
    centralized = {"task": type(recipe.task).model_validate(task), "algorithm": AlgorithmRecipe.model_validate({"name": "centralized"})}
    return {"centralized": recipe.model_copy(update=alone | centralized)}


Opener = Callable[[Recipe, RunFolder, str, str], Federation]
"""Makes the federation of a baseline: its recipe, its folder, its name, and the label that its results carry."""


def run_baselines(
    recipes: Mapping[str, tuple[str, Recipe]], folder: RunFolder, open_baseline: Opener, start: State, side_by_side: Closing | None
) -> list[dict[str, Any]]:
    """Train from `start` and measure each of `recipes` (name -> kind and recipe) in a folder of its own; gives what was measured.

    With `side_by_side`, the workers that they share, they run at the same time. A baseline that has finished is not run again.
    """

    def one(name: str) -> tuple[str, list[dict[str, Any]]]:
        kind, recipe = recipes[name]
        federation = open_baseline(recipe, RunFolder(folder.path / "baselines" / name), name, kind)
        return kind, _train_and_measure(federation, start, recipe.evaluate.membership)

    if side_by_side is None:
        measured = [one(name) for name in recipes]
    else:
        with ThreadPoolExecutor(len(recipes) or 1) as threads:
            try:
                measured = list(threads.map(one, recipes))
            except BaseException:
                side_by_side.close()  # or the other baselines would go on to their ends before the error is seen
                raise
    return [event for kind in dict.fromkeys(kind for kind, _ in measured) for event in _means([e for k, e in measured if k == kind])]


def _train_and_measure(federation: Federation, start: State, membership: bool) -> list[dict[str, Any]]:
    open_federation(federation)
    state = run_rounds(federation, start)
    evaluate(federation, state, federation.terms.rounds)
    if membership:
        measure_membership(federation, state, start)
    return [event for event in federation.folder.metrics() if event["name"].startswith(MEASURED)]


def _means(runs: list[list[dict[str, Any]]]) -> list[dict[str, Any]]:
    """The mean of each measure over several runs, client by client."""
    found: dict[tuple[str | None, str], list[float]] = {}
    rounds: dict[tuple[str | None, str], int] = {}
    for events in runs:
        for event in events:
            found.setdefault((event["client"], event["name"]), []).append(event["value"])
            rounds[event["client"], event["name"]] = event["round"]
    return [{"round": rounds[key], "client": key[0], "name": key[1], "value": fmean(values)} for key, values in found.items()]
