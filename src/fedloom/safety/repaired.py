"""A repair of a finished run, kept in the run's folder. Each once: it is made anew only when what it is made of has changed."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter
from typing import Any

from fedloom.errors import RecipeError
from fedloom.files import sha256_of, version_of, versions_of, write_atomic
from fedloom.recipe import Recipe, load_recipe
from fedloom.run import hand_out, measure_state, read
from fedloom.runfolder import RunFolder, existing_run, locked
from fedloom.safety.repair import Repair
from fedloom.workshop import Workshop, open_workshop


@dataclass(frozen=True)
class Repaired:
    """A repair of a finished run: its folder, with the repaired adapter or model, what was measured, and what it cost."""

    folder: Path
    metrics: Mapping[str, float]
    cost: Mapping[str, float]


def repair_folder(run_folder: Path, level: int) -> Path:
    return run_folder / "repairs" / f"level-{level}"


def existing_repair(run_folder: Path, level: int) -> Path:
    """The folder of a repair that was made. Raises RecipeError when there is none."""
    folder = repair_folder(run_folder, level)
    if not (folder / "repair.json").exists():
        raise RecipeError(f"{run_folder}: has no repair of level {level}; make it with `fedloom repair {run_folder} --level {level}`")
    return folder


def repair_run(run_folder: Path, settings: Mapping[str, Any]) -> Repaired:
    """Repair the joined model of a finished run, and keep the result in its folder, under repairs/level-N. One that is there is kept,
    unless it was made with other settings, or of another adapter, policy, source or outside model.

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
    if known.exists() and (kept := json.loads(known.read_text(encoding="utf-8")))["of"] == of:
        return Repaired(folder, kept["metrics"], kept["cost"])
    with locked(run_folder), open_workshop(recipe) as workshop:
        _refuse_another(run_folder, workshop)
        repair.check(workshop)
        examples, cost = repair.write(finished.state, workshop)
        begin = perf_counter()
        state = repair.train(finished.state, workshop, examples)
        cost |= {"training_seconds": perf_counter() - begin}
        known.unlink(missing_ok=True)  # else one that is stopped from here on would pass for the one before it
        metrics = measure_state(workshop, RunFolder(folder), state)
        weights = hand_out(workshop, RunFolder(folder), state)
    write_atomic(known, json.dumps({"of": of, "sha256": sha256_of(weights), "metrics": metrics, "cost": cost}, indent=2) + "\n")
    return Repaired(folder, metrics, cost)


def _refuse_another(run_folder: Path, workshop: Workshop) -> None:
    """Raise RecipeError when base model, data or what probes ask are no longer those of the run, so that before and after could not be
    compared."""
    manifest, now = RunFolder(run_folder).manifest(), _asked_files(workshop.recipe)
    for path, version in manifest.get("files", {}).items():
        if now.get(path) != version:
            raise RecipeError(f"{run_folder}: {path} has changed since the run; bring the old one back, or run anew")
    for what, sha256 in (("model", workshop.loaded.sha256), ("data", workshop.data.sha256)):
        if manifest[what]["sha256"] != sha256:
            raise RecipeError(f"{run_folder}: its {what} has changed since the run; bring the old one back, or run anew")


def _asked_files(recipe: Recipe) -> dict[str, str]:
    """path -> version of the files that decide what probes ask and what judges say."""
    plain = recipe.plain()
    return versions_of([plain["clients"], plain["evaluate"]])


def default_repair(recipe: Recipe, level: int, policy: str | None = None, generator: str | None = None) -> dict[str, Any]:
    """Settings of a repair at `level`: those of the recipe's own repair where it has one, the policy of its probe where that has one.

    The outside model of level 2 is `generator`, else that of the recipe's repair, else the recipe's model, as it was before the
    federation. Raises RecipeError for a `generator` at another level.
    """
    if generator is not None and level != 2:
        raise RecipeError(f"--generator: is the outside model of level 2; level {level} has none")
    own = next((step.settings for step in recipe.finish if step.kind == "repair"), {})
    probed = next((name for probe in recipe.evaluate.probes if (name := probe.settings.get("policy"))), None)
    outside = generator or own.get("generator") or recipe.model.id
    chosen = {**own, "level": level, "generator": outside if level == 2 else None}
    return chosen | {"policy": policy or own.get("policy") or probed}
