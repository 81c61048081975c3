"""What the joined model is compared with: each client alone, all data in one place, federations within clusters, and the joined model
after each client has tuned it further."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
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


ON_ALL_ROWS = ("local", "centralized")
"""Kinds that are measured on all clients' rows, as the joined model is; of several models the mean counts."""

OWN_ROWS = {"local": "local_own", "finetuned": "finetuned", "clustered": "clustered"}
"""Kind -> the label of what each client's model gives on its own rows."""


class Closing(Protocol):
    def close(self) -> None: ...


@dataclass(frozen=True)
class Baseline:
    """A federation that is trained from `start`. Of its `kind` there may be several, each for the clients `own`. Only `members` take part
    in it; empty: all, or whom its algorithm names."""

    kind: str
    recipe: Recipe
    start: State
    own: Sequence[str] = ()
    members: Sequence[str] = ()


def baseline_recipes(recipe: Recipe, kind: str, owners: int, left_out: Collection[int] = ()) -> dict[str, Recipe]:
    """Recipes of a baseline by folder name.

    local: each client alone but for those at the positions `left_out`, for as many rounds and steps as in the federation. finetuned: each
    of these, for one round of `evaluate.finetune_steps`. centralized: one trainer with all rows, but for those of malicious clients; each
    of its steps takes as many rows as all clients of a round take together, so that it sees as much data in as many steps.
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
    if kind == "finetuned":
        alone["federation"] = FederationRecipe.model_validate(federation | {"rounds": 1})
        alone["task"] = type(recipe.task).model_validate(task | {"steps": recipe.evaluate.finetune_steps, "passes": None})
    if kind in ("local", "finetuned"):
        return {
            f"{kind}-{k}": recipe.model_copy(update=alone | {"algorithm": AlgorithmRecipe.model_validate({"name": "local", "client": k})})
            for k in range(owners)
            if k not in left_out
        }
    task["accumulation"] *= recipe.federation.per_round or owners
    centralized = {"task": type(recipe.task).model_validate(task), "algorithm": AlgorithmRecipe.model_validate({"name": "centralized"})}
    return {"centralized": recipe.model_copy(update=alone | centralized)}


def cluster_recipe(recipe: Recipe, members: int, owners: int) -> Recipe:
    """The recipe of a federation of `members` of the `owners`: the same, with as large a share of its clients drawn each round."""
    drawn = recipe.federation.per_round
    share = None if drawn is None else max(1, round(drawn * members / owners))
    counts = {"clients": None, "per_round": share, "quorum": min(recipe.federation.quorum, share or members)}
    return recipe.model_copy(update={"federation": recipe.federation.model_copy(update=counts)})


Opener = Callable[[Baseline, RunFolder, str], Federation]
"""Makes the federation of a baseline, in its folder and with its name."""


@dataclass(frozen=True)
class Measured:
    """What baselines gave: `events` of those that are measured on all rows, and by the labels of `OWN_ROWS` the sums of each client that
    was measured with its own model."""

    events: Sequence[dict[str, Any]]
    own: Mapping[str, Mapping[str, Mapping[str, float]]]


def run_baselines(baselines: Mapping[str, Baseline], folder: RunFolder, open_baseline: Opener, side_by_side: Closing | None) -> Measured:
    """Train and measure each of `baselines` (by name) in a folder of its own; gives what was measured.

    With `side_by_side`, the workers that they share, they run at the same time. A baseline that has finished is not run again.
    """

    def one(name: str) -> _One:
        federation = open_baseline(baselines[name], baseline_folder(folder, name), name)
        return _train_and_measure(federation, baselines[name])

    if side_by_side is None:
        measured = [one(name) for name in baselines]
    else:
        with ThreadPoolExecutor(len(baselines) or 1) as threads:
            try:
                measured = list(threads.map(one, baselines))
            except BaseException:
                side_by_side.close()  # or the other baselines would go on to their ends before the error is seen
                raise
    on_all = [kind for kind in dict.fromkeys(one.baseline.kind for one in measured) if kind in ON_ALL_ROWS]
    events = [event for kind in on_all for event in _means([one.events for one in measured if one.baseline.kind == kind])]
    own: dict[str, dict[str, Mapping[str, float]]] = {}
    for done in measured:
        if done.baseline.kind in OWN_ROWS:
            sums = {client: done.sums[client] for client in done.baseline.own if client in done.sums}
            own.setdefault(OWN_ROWS[done.baseline.kind], {}).update(sums)
    return Measured(events, own)


def baseline_folder(folder: RunFolder, name: str) -> RunFolder:
    """The folder of a baseline in that of its run."""
    return RunFolder(folder.path / "baselines" / name)


@dataclass(frozen=True)
class _One:
    """What was measured of one baseline: its events, and the sums of each client."""

    baseline: Baseline
    events: list[dict[str, Any]]
    sums: Mapping[str, Mapping[str, float]]


def _train_and_measure(federation: Federation, baseline: Baseline) -> _One:
    open_federation(federation)
    state = run_rounds(federation, baseline.start)
    sums = evaluate(federation, state, federation.terms.rounds, clients=None if baseline.kind in ON_ALL_ROWS else baseline.own)
    if baseline.recipe.evaluate.membership and baseline.kind in ON_ALL_ROWS:
        measure_membership(federation, state, baseline.start)
    events = [event for event in federation.folder.metrics() if event["name"].startswith(MEASURED)]
    return _One(baseline, events, sums)


def _means(runs: list[list[dict[str, Any]]]) -> list[dict[str, Any]]:
    """The mean of each measure over several runs, client by client."""
    found: dict[tuple[str | None, str], list[float]] = {}
    rounds: dict[tuple[str | None, str], int] = {}
    for events in runs:
        for event in events:
            found.setdefault((event["client"], event["name"]), []).append(event["value"])
            rounds[event["client"], event["name"]] = event["round"]
    return [{"round": rounds[key], "client": key[0], "name": key[1], "value": fmean(values)} for key, values in found.items()]
