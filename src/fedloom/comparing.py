"""What the joined model is compared with when the run is over: the majority answer, and the baselines that train."""

from __future__ import annotations

from fedloom.data.record_sequence import provenances
from fedloom.data.records import Provenance
from fedloom.evaluation.baselines import baseline_recipes, run_baselines
from fedloom.evaluation.majority import record_majority
from fedloom.federation.rounds import Federation
from fedloom.federation.run_folder import RunFolder
from fedloom.local_run import LocalRun
from fedloom.recipe import Recipe

TRAINED = ("centralized", "local")


def compare(local: LocalRun, folder: RunFolder, federation: Federation) -> None:
    """Measure the recipe's baselines, and record what they give. Both kinds need all owners' rows in this process."""
    wanted, measure = local.recipe.evaluate.baselines, federation.task.majority_measure
    if (privacy := federation.agreed.privacy) and (privacy.unit == "client" or not _is_public(local)):
        if left := [name for name in wanted if name in (*TRAINED, "majority")]:
            what = "of what its client has" if privacy.unit == "client" else "of private rows"
            federation.observer.note(
                f"evaluate.baselines: {', '.join(left)} left out: under privacy each would be a further release {what}"
            )
        return
    if "majority" in wanted and measure is not None:
        record_majority(local.sites, measure, federation.metric)
    elif "majority" in wanted:
        federation.observer.note(f"evaluate.baselines: {local.recipe.task.kind} has no majority answer to compare with")
    owners = local.sites.owners
    malicious = [number for number, name in enumerate(owners) if name in local.malicious]
    recipes = {
        name: (kind, recipe)
        for kind in TRAINED
        if kind in wanted
        for name, recipe in baseline_recipes(local.recipe, kind, len(owners), malicious).items()
    }

    def open_baseline(recipe: Recipe, own: RunFolder, name: str, label: str) -> Federation:
        return local.federation(recipe, own, local.malicious, name=name, label=label, observer=federation.observer)

    side_by_side = local.workers if local.worker_count > 1 else None
    for event in run_baselines(recipes, folder, open_baseline, local.start, side_by_side):
        federation.metric(event["round"], event["client"], event["name"], event["value"])


def _is_public(local: LocalRun) -> bool:
    """Whether all rows of all owners are PUBLIC."""
    return all(
        set(provenances(records)) <= {Provenance.PUBLIC} for client in local.data.clients for records in (client.train, client.held_out)
    )
