"""The matrix attack x rule x repair: a run per attack, rule and seed, and every repair on each finished run. Each cell once; it resumes.

Built on the sweep: attacks and rules are its axes, so all cells start from the same model and draw the same clients.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean, stdev
from time import perf_counter
from typing import Any

from fedloom.algorithms import algorithms
from fedloom.errors import FedloomError, InterruptedRunError, RecipeError
from fedloom.federation.observer import Observer
from fedloom.files import sha256_of, write_atomic
from fedloom.recipe import Recipe, load_recipe
from fedloom.registry import settings_of
from fedloom.run import Run, hand_out, measure_state, read, resume, run
from fedloom.runfolder import RunFolder, existing_run, locked
from fedloom.safety.repair import Repair
from fedloom.workshop import algorithm_of, open_workshop

NO_ATTACK = "none"


@dataclass(frozen=True)
class Repaired:
    """A repair of a finished run: its folder, with the repaired adapter or model, what was measured, and what it cost."""

    folder: Path
    metrics: Mapping[str, float]
    cost: Mapping[str, float]


def repair_run(run_folder: Path, settings: Mapping[str, Any]) -> Repaired:
    """Repair the joined model of a finished run, and keep the result in its folder, under repairs/level-N. One that is there is kept.

    Raises RecipeError for a run that is not finished.
    """
    finished = read(existing_run(run_folder))
    if finished.status != "finished":
        raise RecipeError(f"{run_folder}: is not finished; go on with `fedloom resume {run_folder}`")
    recipe = load_recipe(run_folder / "recipe.yaml", {"finish": [{"kind": "repair", **settings}]})
    repair = Repair(**recipe.finish[0].settings)
    folder = run_folder / "repairs" / f"level-{repair.level}"
    known = folder / "repair.json"
    of = {"settings": recipe.finish[0].settings, "adapter_sha256": finished.adapter_sha256}
    if known.exists() and (kept := json.loads(known.read_text(encoding="utf-8")))["of"] == of:
        return Repaired(folder, kept["metrics"], kept["cost"])
    with locked(run_folder), open_workshop(recipe) as workshop:
        known.unlink(missing_ok=True)  # else a repair that is stopped half way would pass for the one before it
        examples, cost = repair.write(finished.state, workshop)
        begin = perf_counter()
        state = repair.train(finished.state, workshop, examples)
        cost |= {"training_seconds": perf_counter() - begin}
        metrics = measure_state(workshop, RunFolder(folder), state)
        weights = hand_out(workshop, RunFolder(folder), state)
    write_atomic(known, json.dumps({"of": of, "sha256": sha256_of(weights), "metrics": metrics, "cost": cost}, indent=2) + "\n")
    return Repaired(folder, metrics, cost)


@dataclass(frozen=True)
class MatrixCell:
    """Means over seeds of one attack, rule and repair ("none": before any)."""

    attack: str
    rule: str
    repair: str
    runs: int
    mean: Mapping[str, float]
    spread: Mapping[str, float | None]


@dataclass(frozen=True)
class Plan:
    """A checked matrix: the recipe of every run, and the settings of every repair."""

    folder: Path
    cells: tuple[tuple[str, str, int, Recipe], ...]
    repairs: tuple[Mapping[str, Any], ...]


def plan_matrix(
    recipe: str | Path | Recipe | Mapping[str, Any],
    folder: Path,
    attacks: Sequence[str],
    rules: Sequence[str | Mapping[str, Any]],
    levels: Sequence[int],
    seeds: Sequence[int],
    overrides: Mapping[str, Any] | None = None,
    generator: str | None = None,
) -> Plan:
    """Check every cell before any is run.

    `attacks`: "none", where the same clients behave honestly, and behaviours; the recipe's own keeps its settings. `rules`: names of
    algorithms, or mappings with their settings; a name alone of a rule that takes `malicious` gets the recipe's number. `levels` of repair
    take all else from the recipe's `finish`, and level 2 the model `generator`, which is the recipe's own model as it was before the attack
    if not given. Raises RecipeError.
    """
    base = load_recipe(recipe, overrides or {})
    repairs = tuple(default_repair(base, level, None, generator) for level in levels)
    for settings in repairs:
        load_recipe(base, {"finish": [{"kind": "repair", **settings}]})
    plain = base.plain() | {"finish": []}
    cells = tuple(
        (attack, _label(rule), seed, _cell(plain, attack, rule, seed))
        for attack in dict.fromkeys(attacks)
        for rule in rules
        for seed in dict.fromkeys(seeds)
    )
    return Plan(folder, cells, repairs)


def run_matrix(plan: Plan, observer: Observer | None = None, tell: Callable[[str], None] = lambda _: None) -> list[MatrixCell]:
    """Run what is not done yet, and give the matrix of what is. A cell that fails is told and left out; Ctrl-C stops, and it resumes."""
    found: dict[tuple[str, str, str], list[Mapping[str, float]]] = {}
    for number, (attack, rule, seed, recipe) in enumerate(plan.cells, start=1):
        tell(f"{number}/{len(plan.cells)} attack {attack}, rule {rule}, seed {seed}")
        try:
            finished = _finished(recipe, plan.folder / "cells" / re.sub(r"[^\w.-]+", "-", f"{attack}_{rule}_{seed}"), observer)
            found.setdefault((attack, rule, "none"), []).append({**finished.metrics, "seconds": finished.seconds})
        except InterruptedRunError:
            raise
        except FedloomError as error:
            tell(f"   failed: {error}")
            continue
        for settings in plan.repairs:
            level = f"level {settings['level']}"
            try:
                repaired = repair_run(finished.folder, settings)
            except InterruptedRunError:
                raise
            except FedloomError as error:
                tell(f"   repair {level} failed: {error}")
                continue
            cost = repaired.cost["seconds"] + repaired.cost["training_seconds"]
            found.setdefault((attack, rule, level), []).append({**repaired.metrics, "seconds": cost})
            tell(f"   repair {level}: {_told(repaired.metrics)}")
    return [_summary(key, values) for key, values in found.items()]


def default_repair(recipe: Recipe, level: int, policy: str | None = None, generator: str | None = None) -> dict[str, Any]:
    """Settings of a repair at `level`: those of the recipe's own repair where it has one, the policy of its probe where that has one.

    The outside model of level 2 is `generator`, or the recipe's model, as it was before the federation.
    """
    own = next((step.settings for step in recipe.finish if step.kind == "repair"), {})
    probed = next((probe.settings.get("policy") for probe in recipe.evaluate.probes), None)
    chosen = {**own, "level": level, "generator": (generator or recipe.model.id) if level == 2 else None}
    return chosen | {"policy": policy or own.get("policy") or probed}


def _cell(plain: Mapping[str, Any], attack: str, rule: str | Mapping[str, Any], seed: int) -> Recipe:
    """The recipe of one run."""
    count, behaviour = plain["clients"]["malicious"], plain["clients"]["behaviour"]
    if not count:
        raise RecipeError("clients.malicious: is 0; say in the recipe how many clients attack, and what they do")
    kind = "honest" if attack == NO_ATTACK else attack
    clients = {"malicious": count, "behaviour": behaviour if behaviour["kind"] == kind else {"kind": kind}}
    if isinstance(rule, str):
        takes = {setting.name for setting in settings_of(algorithms.get(rule))}
        rule = {"name": rule, **({"malicious": count} if "malicious" in takes else {})}
    recipe = load_recipe({**plain, "clients": clients, "algorithm": dict(rule), "seed": seed})
    drawn, needed = recipe.federation.per_round or recipe.federation.clients, algorithm_of(recipe).needs_clients
    if drawn is not None and drawn < needed:
        raise RecipeError(f"--rules: {rule['name']} needs {needed} or more clients in a round, but federation.per_round draws {drawn}")
    return recipe


def _label(rule: str | Mapping[str, Any]) -> str:
    if isinstance(rule, str):
        return rule
    settings = ", ".join(f"{key} {value}" for key, value in rule.items() if key != "name")
    return f"{rule['name']} ({settings})" if settings else str(rule["name"])


def _finished(recipe: Recipe, folder: Path, observer: Observer | None) -> Run:
    if not (folder / "checkpoints").exists():
        return run(recipe, folder, observer)
    if load_recipe(folder / "recipe.yaml") != recipe:
        raise RecipeError(f"{folder}: holds a run of another recipe; choose another folder with --out")
    return resume(folder, observer)


def _summary(key: tuple[str, str, str], values: Sequence[Mapping[str, float]]) -> MatrixCell:
    names = [name for name in values[0] if all(name in one for one in values)]
    mean = {name: fmean(one[name] for one in values) for name in names}
    spread = {name: stdev([one[name] for one in values]) if len(values) > 1 else None for name in names}
    return MatrixCell(*key, len(values), mean, spread)


def _told(metrics: Mapping[str, float]) -> str:
    refusal, loss = metrics.get("federated/refusal"), metrics.get("federated/loss")
    parts = [f"refusal {refusal:.1%}" if refusal is not None else "", f"held-out loss {loss:.3f}" if loss is not None else ""]
    return ", ".join(part for part in parts if part)
