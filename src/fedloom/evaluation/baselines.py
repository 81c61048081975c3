"""What the joined model is compared with: the base model, the majority answer, each client alone, all data in one place."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable
from concurrent.futures import ThreadPoolExecutor
from statistics import fmean
from typing import Any

from fedloom.data.clients import ClientData
from fedloom.evaluation.majority import majority_exact
from fedloom.federation.engine import Engine
from fedloom.federation.observer import Observer
from fedloom.federation.rounds import Federation, evaluate, run_rounds
from fedloom.recipe import AlgorithmRecipe, FederationRecipe, Recipe
from fedloom.runfolder import RunFolder
from fedloom.state import State
from fedloom.workshop import Workshop, algorithm_of, task_of


def record_majority(clients: Iterable[ClientData], metric: Callable[[int | None, str | None, str, float], None]) -> None:
    """Record held_out/majority/exact_match per client and for all rows together."""
    right = rows = 0
    for client in clients:
        if client.held_out:
            exact = majority_exact(client.train, client.held_out)
            metric(0, client.name, "held_out/majority/exact_match", exact / len(client.held_out))
            right, rows = right + exact, rows + len(client.held_out)
    if rows:
        metric(0, None, "held_out/majority/exact_match", right / rows)


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
    alone = {"federation": FederationRecipe.model_validate(federation)}
    if kind == "local":
        return {
            f"local-{k}": recipe.model_copy(update=alone | {"algorithm": AlgorithmRecipe.model_validate({"name": "local", "client": k})})
            for k in range(owners)
            if k not in left_out
        }
    task = recipe.task.model_dump()
    task["accumulation"] *= recipe.federation.per_round or owners
    centralized = {"task": type(recipe.task).model_validate(task), "algorithm": AlgorithmRecipe.model_validate({"name": "centralized"})}
    return {"centralized": recipe.model_copy(update=alone | centralized)}


def run_baselines(workshop: Workshop, folder: RunFolder, kinds: Iterable[str], observer: Observer) -> list[dict[str, Any]]:
    """Train and measure the baselines of `kinds` (local, centralized), each in a folder of its own; gives their held-out events.

    They run side by side when there are several workers, the longest first. A baseline that has finished is not run again.
    """
    owners = [client.name for client in workshop.data.clients]
    malicious = [k for k, name in enumerate(owners) if workshop.rows[name].malicious]
    recipes = {
        name: (kind, recipe)
        for kind in sorted(kinds)
        for name, recipe in baseline_recipes(workshop.recipe, kind, len(owners), malicious).items()
    }

    def one(name: str) -> tuple[str, list[dict[str, Any]]]:
        kind, recipe = recipes[name]
        return kind, _train_and_measure(workshop, recipe, RunFolder(folder.path / "baselines" / name), name, kind, observer)

    if workshop.worker_count == 1:
        measured = [one(name) for name in recipes]
    else:
        with ThreadPoolExecutor(len(recipes) or 1) as threads:
            try:
                measured = list(threads.map(one, recipes))
            except BaseException:
                workshop.workers.close()  # or the other baselines would go on to their ends before the error is seen
                raise
    return [event for kind in dict.fromkeys(kind for kind, _ in measured) for event in _means([e for k, e in measured if k == kind])]


def _train_and_measure(
    workshop: Workshop, recipe: Recipe, folder: RunFolder, name: str, label: str, observer: Observer
) -> list[dict[str, Any]]:
    malicious = [client for client, rows in workshop.rows.items() if rows.malicious]
    engine: Engine = workshop.engine(recipe, folder, left_out=malicious)
    measured = [client.name for client in workshop.data.clients]
    task, algorithm = task_of(recipe), algorithm_of(recipe)
    federation = Federation(
        recipe.federation, task, algorithm, engine, folder, recipe.seed, measured=measured, label=label, name=name, observer=observer
    )
    state: State = run_rounds(federation, workshop.start)
    evaluate(federation, state, recipe.federation.rounds)
    return [event for event in folder.metrics() if event["name"].startswith("held_out/")]


def _means(runs: list[list[dict[str, Any]]]) -> list[dict[str, Any]]:
    """The mean of each measure over several runs, client by client."""
    found: dict[tuple[str | None, str], list[float]] = {}
    rounds: dict[tuple[str | None, str], int] = {}
    for events in runs:
        for event in events:
            found.setdefault((event["client"], event["name"]), []).append(event["value"])
            rounds[event["client"], event["name"]] = event["round"]
    return [{"round": rounds[key], "client": key[0], "name": key[1], "value": fmean(values)} for key, values in found.items()]
