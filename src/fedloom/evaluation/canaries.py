"""The probe `canaries`: over the rounds, what the joined model has kept of the made-up rows that the prepare step `canaries` inserts.

Canaries follow from the recipe, so that the server can make them again and needs no row of a client for it.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import nullcontext
from dataclasses import dataclass
from typing import Any

import numpy as np

from fedloom.errors import RecipeError
from fedloom.hooks import Probe, ServerSide, probes
from fedloom.measures import SHARE, Measure
from fedloom.privacy import exposure, membership, one_run
from fedloom.privacy.canaries import KIND, Canary, canaries_of, losses
from fedloom.state import State
from fedloom.tasks import tasks

MEASURES = (
    Measure("exposure", "exposure of canaries", "bits", "lower"),
    Measure("canary_auc", "canaries told apart", SHARE, "lower", note="Area under the curve; 50% is chance."),
    Measure("epsilon_lower", "epsilon, at least", "", "lower"),
)


@probes.register("canaries")
@dataclass(frozen=True)
class CanaryProbe(Probe):
    """Exposure (Carlini et al. 2019, arXiv 1802.08232), area under the curve of membership, and the lower bound on epsilon of one-run
    auditing (Steinke, Nasr and Jagielski 2023, arXiv 2305.08846), of the canaries of all clients. It asks for no row of a client.

    Every bound holds by itself with 95% confidence; the largest of several measurements does not. There is none under `privacy.unit:
    client`, since canaries are rows."""

    def check(self, server: ServerSide) -> None:
        if not any(step.kind == KIND for step in server.recipe.prepare):
            raise RecipeError("evaluate.probes: canaries measures what the prepare step canaries inserts; add {kind: canaries} to prepare")
        if server.bench.recipe.adapter is None:
            raise RecipeError(
                "evaluate.probes: canaries compares with the base model, which whole models do not keep; use an adapter, or `fedloom audit"
                " privacy` when the run is over"
            )

    def measures(self) -> list[Measure]:
        return list(MEASURES)

    def measure(self, state: State, server: ServerSide) -> Mapping[str, float]:
        made = {client: canaries_of(server.recipe, client) for client in server.clients}
        every = [canary for of_client in made.values() for canary in of_client]
        after, before = (_losses(every, server, state, adapted) for adapted in (True, False))
        inserted = np.array([canary.inserted for canary in every])
        ends = np.cumsum([len(of_client) for of_client in made.values()])[:-1]
        parts = zip(made, np.split(before - after, ends), np.split(inserted, ends), strict=True)
        coins = {client: one_run.Coins(scores, of_client) for client, scores, of_client in parts}
        gain, privacy = before - after, server.recipe.privacy
        found = {
            "exposure": float(exposure.exposures(after[inserted], after[~inserted]).mean()),
            "canary_auc": membership.auc(gain[inserted], gain[~inserted]),
        }
        if privacy and privacy.unit == "client":
            return found
        return found | {"epsilon_lower": one_run.audited(coins, privacy.delta if privacy else one_run.DELTA)[0].epsilon}


def _losses(canaries: list[Canary], server: ServerSide, state: State, adapted: bool) -> Any:
    """(m,): the loss of every canary with `state` on, or with the adapter off."""
    bench = server.bench
    bench.parameters.load(state)
    task = tasks.get(server.recipe.task.kind)(**server.recipe.task.settings)
    with nullcontext() if adapted else bench.model.disable_adapter():
        return losses(canaries, bench, task).numpy()
