"""A repair of a finished run, kept in the run's folder. It is made again only when its settings or its inputs have changed."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter
from typing import Any

from fedloom.errors import RecipeError
from fedloom.federation.observer import Observer
from fedloom.federation.opening import open_federation
from fedloom.federation.rounds import evaluate
from fedloom.federation.run_folder import RunFolder, existing_run, locked
from fedloom.files import read_json, sha256_of, version_of, versions_of, write_atomic
from fedloom.handing_out import hand_out
from fedloom.local_run import LocalRun, open_local
from fedloom.outcome import last_measures, read
from fedloom.probing import made_probes
from fedloom.recipe import Recipe
from fedloom.resolve import load_recipe
from fedloom.run import own_federation
from fedloom.safety.repair import Repair
from fedloom.state import State


@dataclass(frozen=True)
class Repaired:
    """A repair of a finished run: its folder with the repaired adapter or model, its measures, named as in `Run.metrics`, and its cost."""

    folder: Path
    metrics: Mapping[str, float]
    cost: Mapping[str, float]


def repair_folder(run_folder: Path, level: int) -> Path:
    return run_folder / "repairs" / f"level-{level}"


def existing_repair(run_folder: Path, level: int) -> Path:
    """The folder of a repair that was made. Raises RecipeError when the run has no repair of this level."""
    folder = repair_folder(run_folder, level)
    if not (folder / "repair.json").exists():
        raise RecipeError(f"{run_folder}: has no repair of level {level}; make it with `fedloom repair {run_folder} --level {level}`")
    return folder


def repair_run(run_folder: Path, settings: Mapping[str, Any]) -> Repaired:
    """Repair the joined model of a finished run, and keep the result in the run's folder, under repairs/level-N. A repair that was already
    made is kept, unless its settings, adapter, policy, source or outside model have changed.

    Raises RecipeError for a run whose rounds are not all done.
    """
    finished = read(existing_run(run_folder))
    recipe = load_recipe(run_folder / "recipe.yaml", {"finish": [{"kind": "repair", **settings}]})
    if finished.rounds < recipe.federation.rounds or finished.adapter_sha256 is None:
        raise RecipeError(f"{run_folder}: is not finished; go on with `fedloom resume {run_folder}`")
    repair = Repair(**recipe.finish[0].settings)
    folder = repair_folder(run_folder, repair.level)
    known = folder / "repair.json"
    origins = repair.origins() | {"model": version_of(recipe.model.id)} | _asked_files(recipe)
    of = {"settings": recipe.finish[0].settings, "adapter_sha256": finished.adapter_sha256, "origins": origins}
    if known.exists() and (kept := read_json(known, dict))["of"] == of:
        return Repaired(folder, kept["metrics"], kept["cost"])
    with locked(run_folder), open_local(recipe, RunFolder(run_folder)) as local:
        _refuse_another(run_folder, local)
        repair.check(local.server)
        examples, cost = repair.write(finished.state, local.server)
        begin = perf_counter()
        state = repair.train(finished.state, local.server, examples)
        cost |= {"training_seconds": perf_counter() - begin}
        known.unlink(missing_ok=True)  # a repair that is stopped from here on must not be taken for the one before it
        metrics = measure_state(local, RunFolder(folder), state)
        weights = hand_out(local.bench, RunFolder(folder), state)
    write_atomic(known, json.dumps({"of": of, "sha256": sha256_of(weights), "metrics": metrics, "cost": cost}, indent=2) + "\n")
    return Repaired(folder, metrics, cost)


def measure_state(local: LocalRun, folder: RunFolder, state: State) -> dict[str, float]:
    """Measure `state` on the clients' held-out rows and by the recipe's probes, into the metrics of `folder`; names as in `Run.metrics`."""
    federation = own_federation(local, folder, Observer(), made_probes(local.recipe))
    open_federation(federation)
    evaluate(federation, state, local.recipe.federation.rounds)
    return last_measures(folder)


def _refuse_another(run_folder: Path, local: LocalRun) -> None:
    """Raise RecipeError when the base model, the data or the probes' prompts have changed since the run: its measures and those of the
    repair could not be compared."""
    manifest, now = RunFolder(run_folder).manifest(), _asked_files(local.recipe)
    for path, version in manifest.get("files", {}).items():
        if now.get(path) != version:
            raise RecipeError(f"{run_folder}: {path} has changed since the run; bring the old one back, or run anew")
    for what, sha256 in (("model", local.bench.sha256), ("data", local.data.sha256)):
        if manifest[what]["sha256"] != sha256:
            raise RecipeError(f"{run_folder}: its {what} has changed since the run; bring the old one back, or run anew")


def _asked_files(recipe: Recipe) -> dict[str, str]:
    """path -> version of the files that probes and judges read."""
    plain = recipe.plain()
    return versions_of([plain["clients"], plain["evaluate"]])


def default_repair(recipe: Recipe, level: int, policy: str | None = None, generator: str | None = None) -> dict[str, Any]:
    """Settings of a repair at `level`: those of the recipe's own repair, if it has one. The policy is `policy`, else that of the recipe's
    repair, else that of its first probe with a policy.

    The outside model of level 2 is `generator`, else that of the recipe's repair, else the recipe's model before training. Raises
    RecipeError for a `generator` at another level.
    """
    if generator is not None and level != 2:
        raise RecipeError(f"--generator: is the outside model of level 2; level {level} has none")
    own = next((step.settings for step in recipe.finish if step.kind == "repair"), {})
    probed = next((name for probe in recipe.evaluate.probes if (name := probe.settings.get("policy"))), None)
    outside = generator or own.get("generator") or recipe.model.id
    chosen = {**own, "level": level, "generator": outside if level == 2 else None}
    return chosen | {"policy": policy or own.get("policy") or probed}
