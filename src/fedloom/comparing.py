"""What the joined model is compared with when the run is over: the majority answer, and the baselines that train."""

from __future__ import annotations

from collections.abc import Iterator

from fedloom.clusters import clusterings
from fedloom.data.clients import ClientData
from fedloom.data.record_sequence import provenances
from fedloom.data.records import Provenance
from fedloom.evaluation.baselines import Baseline, baseline_folder, baseline_recipes, cluster_recipe, run_baselines
from fedloom.evaluation.majority import record_majority
from fedloom.federation.checkpoint import last_checkpoint
from fedloom.federation.rounds import Federation, record_sums
from fedloom.federation.run_folder import RunFolder
from fedloom.local_run import LocalRun
from fedloom.state import State
from fedloom.streams import numpy_stream

TRAINED = ("centralized", "local", "finetuned", "clustered")


def compare(local: LocalRun, folder: RunFolder, federation: Federation, joined: State) -> list[State]:
    """Measure the recipe's baselines, and record what they give; `joined` is the state after the last round. All need all owners' rows in
    this process. Gives the models of those clients alone that the suites are asked (`evaluate.local_clients`)."""
    wanted, measure = local.recipe.evaluate.baselines, federation.task.majority_measure
    if (privacy := federation.agreed.privacy) and (privacy.unit == "client" or not _is_public(local)):
        if left := [name for name in wanted if name in (*TRAINED, "majority")]:
            what = "of what its client has" if privacy.unit == "client" else "of private rows"
            federation.observer.note(
                f"evaluate.baselines: {', '.join(left)} left out: under privacy each would be a further release {what}"
            )
        return []
    if "majority" in wanted and measure is not None:
        record_majority(local.sites, measure, federation.metric)
    elif "majority" in wanted:
        federation.observer.note(f"evaluate.baselines: {local.recipe.task.kind} has no majority answer to compare with")
    baselines = {name: baseline for kind in TRAINED if kind in wanted for name, baseline in _baselines(local, kind, joined)}

    def open_baseline(baseline: Baseline, own: RunFolder, name: str) -> Federation:
        how = {"name": name, "label": baseline.kind, "observer": federation.observer}
        return local.federation(baseline.recipe, own, local.malicious, baseline.members, **how)

    side_by_side = local.workers if local.worker_count > 1 else None
    measured = run_baselines(baselines, folder, open_baseline, side_by_side)
    for event in measured.events:
        federation.metric(event["round"], event["client"], event["name"], event["value"])
    for label, sums in measured.own.items():
        record_sums(federation, federation.terms.rounds, label, sums)
    return [_trained(folder, f"local-{number}") for number in _asked_alone(local)]


def _baselines(local: LocalRun, kind: str, joined: State) -> Iterator[tuple[str, Baseline]]:
    """(name, baseline) of each of a kind. Malicious clients train no model of their own."""
    owners = local.sites.owners
    if kind == "clustered":
        for cluster, members in _clusters(local).items():
            recipe = cluster_recipe(local.recipe, len(members), len(owners))
            yield f"clustered-{cluster}", Baseline(kind, recipe, local.start, members, members)
        return
    malicious = [number for number, name in enumerate(owners) if name in local.malicious]
    honest = [name for name in owners if name not in local.malicious]
    recipes = baseline_recipes(local.recipe, kind, len(owners), malicious)
    if kind == "centralized":
        yield from ((name, Baseline(kind, recipe, local.start)) for name, recipe in recipes.items())
        return
    start = joined if kind == "finetuned" else local.start
    for (name, recipe), owner in zip(recipes.items(), honest, strict=True):
        yield name, Baseline(kind, recipe, start, (owner,))


def _asked_alone(local: LocalRun) -> list[int]:
    """The places among the owners of the clients whose own models the suites are asked, drawn by the seed."""
    honest = [number for number, name in enumerate(local.sites.owners) if name not in local.malicious]
    count = min(local.recipe.evaluate.local_clients, len(honest)) if local.recipe.evaluate.suites else 0
    return sorted(numpy_stream(local.recipe.seed, "local clients").choice(honest, count, replace=False).tolist())


def _trained(folder: RunFolder, baseline: str) -> State:
    """The state that a baseline which has finished ended with."""
    checkpoint = last_checkpoint(baseline_folder(folder, baseline).checkpoints)
    assert checkpoint is not None, "a baseline that is measured has been trained"
    return checkpoint.state


def check_clusters(local: LocalRun) -> None:
    """Raise a FedloomError, before anything is trained, for clusters that cannot be made of the run's clients."""
    if chosen := local.recipe.evaluate.clusters:
        clusterings.get(chosen.kind)(**chosen.settings).check(_honest(local))


def _honest(local: LocalRun) -> list[ClientData]:
    return [client for client in local.data.clients if client.name not in local.malicious]


def _clusters(local: LocalRun) -> dict[int, list[str]]:
    """Number of the cluster, from 1 -> the honest clients in it."""
    chosen = local.recipe.evaluate.clusters
    assert chosen is not None, "the recipe's schema asks for clusters beside clustered"
    of = clusterings.get(chosen.kind)(**chosen.settings).clusters(_honest(local))
    names = sorted(set(of.values()))
    return {number: [client for client in of if of[client] == name] for number, name in enumerate(names, start=1)}


def _is_public(local: LocalRun) -> bool:
    """Whether all rows of all owners are PUBLIC."""
    return all(
        set(provenances(records)) <= {Provenance.PUBLIC} for client in local.data.clients for records in (client.train, client.held_out)
    )
