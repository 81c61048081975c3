"""The matrix attack x rule x repair: a run per attack, rule and seed, and every repair of each finished run. Each cell is run once.

All cells are made from one recipe, so they start from the same model and draw the same clients. The folder's matrix.json holds that recipe
and the attack, rule and seed of each run. Results are read from the runs, so that several commands can fill one folder.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from hashlib import sha256
from pathlib import Path
from statistics import fmean, stdev
from typing import Any

from fedloom.algorithms import algorithms
from fedloom.errors import FedloomError, InterruptedRunError, RecipeError
from fedloom.federation.observer import Observer
from fedloom.federation.run_folder import locked
from fedloom.files import read_json, versions_of, write_atomic
from fedloom.measures import Measure
from fedloom.outcome import Run, read
from fedloom.recipe import Recipe
from fedloom.registry import settings_of
from fedloom.report.record import RunRecord, read_run, united
from fedloom.resolve import load_recipe
from fedloom.run import resume, run
from fedloom.safety.policy import load_policy
from fedloom.studies.repaired import default_repair, repair_folder, repair_run

NO_ATTACK = "none"
NO_REPAIR = "none"
INDEX = "matrix.json"
LONG = 80
"""Most letters in the name of a cell's folder."""
STOPPED = "stopped; the same command goes on"


@dataclass(frozen=True)
class MatrixCell:
    """Means over seeds for one attack, rule and repair ("none": without a repair). Keys are `<system>/<measure>` and "seconds"."""

    attack: str
    rule: str
    repair: str
    seeds: Sequence[int]
    mean: Mapping[str, float]
    spread: Mapping[str, float | None]


@dataclass(frozen=True)
class MatrixMeasures:
    """The measures of a matrix: those of the probes and those of the held-out rows, in the order in which they are shown."""

    probes: tuple[Measure, ...]
    held_out: tuple[Measure, ...]


@dataclass(frozen=True)
class PlannedRun:
    """One run of the matrix: its attack, rule and seed, and its resolved recipe."""

    attack: str
    rule: str
    seed: int
    recipe: Recipe

    @property
    def folder(self) -> str:
        """The run's folder inside the matrix folder. A name that is too long, or in which letters were replaced, ends in a hash."""
        name = f"{self.attack}_{self.rule}_{self.seed}"
        plain = re.sub(r"[^\w.-]+", "-", name)
        return f"cells/{name if plain == name and len(name) <= LONG else f'{plain[:LONG]}-{sha256(name.encode()).hexdigest()[:8]}'}"

    @cached_property
    def versions(self) -> dict[str, str]:
        """path -> version of every local file and folder that the run's recipe names."""
        return versions_of(self.recipe.plain())


@dataclass(frozen=True)
class Plan:
    """A checked matrix: the part of the recipe that its runs have in common, the runs, and the settings of every repair."""

    folder: Path
    common: Mapping[str, Any]
    runs: tuple[PlannedRun, ...]
    repairs: tuple[Mapping[str, Any], ...]

    @property
    def cells(self) -> int:
        """The number of runs and of repairs of runs."""
        return len(self.runs) * (1 + len(self.repairs))


def plan_matrix(
    recipe: str | Path | Recipe | Mapping[str, Any],
    folder: Path,
    attacks: Sequence[str | Mapping[str, Any]],
    rules: Sequence[str | Mapping[str, Any]],
    levels: Sequence[int],
    seeds: Sequence[int],
    overrides: Mapping[str, Any] | None = None,
    generator: str | None = None,
) -> Plan:
    """Check every cell before any is run.

    `attacks` are behaviours, by name or as mappings with their settings; "none" means that the same clients behave honestly. `rules` are
    algorithms, by name or as mappings with their settings; an empty list means the recipe's own. Where a behaviour or rule is the recipe's
    own, settings that are not given are the recipe's. A rule with a setting `malicious` gets the recipe's number of malicious clients,
    unless it is given. `levels` are levels of repair; their other settings are those of the recipe's `finish`. The outside model of level 2
    is `generator`, else that of the recipe's repair, else the recipe's model before training. Probes ask none of the prompts that the
    recipe's own attack trains on, in no cell.

    Raises RecipeError for a wrong key or name, and for a `folder` that holds a matrix of another recipe, of files that have changed, or
    with other repairs.
    """
    base = load_recipe(recipe, overrides or {})
    if not base.evaluate.every:
        raise RecipeError("evaluate.every: is 0, so that no run of the matrix would be measured; set it, such as to the number of rounds")
    if (folder / "recipe.yaml").exists():
        raise RecipeError(f"{folder}: is a run; choose another folder with --out")
    if generator is not None and 2 not in levels:
        raise RecipeError("--generator: is the outside model of repair level 2, which --repairs does not name")
    repairs = tuple(default_repair(base, level, None, generator if level == 2 else None) for level in dict.fromkeys(levels))
    repairs = tuple(load_recipe(base, {"finish": [{"kind": "repair", **settings}]}).finish[0].settings for settings in repairs)
    plain = base.plain() | {"finish": []}
    if not plain["clients"]["malicious"]:
        raise RecipeError("clients.malicious: is 0; say in the recipe how many clients attack, and what they do")
    cells = {
        (attack, rule, seed): PlannedRun(attack, rule, seed, _cell(plain, behaviour, algorithm, seed))
        for attack, behaviour in (_attack(one, plain["clients"]["behaviour"]) for one in attacks)
        for rule, algorithm in (
            _rule(one, plain["clients"]["malicious"], plain["algorithm"]) for one in rules or [plain["algorithm"]["name"]]
        )
        for seed in seeds
    }
    common = {key: value for key, value in plain.items() if key not in ("algorithm", "finish", "seed")}
    common |= {"policies": _policies(base)}
    plan = Plan(folder, common, tuple(cells.values()), repairs)
    _refuse_another(plan)
    return plan


def run_matrix(plan: Plan, observer: Observer | None = None, tell: Callable[[str], None] = lambda _: None) -> tuple[list[MatrixCell], int]:
    """Run the cells that are not finished. Gives the matrix of everything in the folder, and the number of the plan's cells that failed.

    `tell` is called with a line for each cell. A cell that fails is left out. Ctrl-C stops; the same plan continues.
    """
    with locked(plan.folder):
        _enter(plan)
        failed = _run_cells(plan, observer, tell)
    return read_matrix(plan.folder), failed


def _run_cells(plan: Plan, observer: Observer | None, tell: Callable[[str], None]) -> int:
    """Run every cell of the plan; gives the number of cells that failed."""
    failed = 0
    for number, planned in enumerate(plan.runs, start=1):
        tell(f"{number}/{len(plan.runs)} attack {planned.attack}, rule {planned.rule}, seed {planned.seed}")
        try:
            finished = _finished(planned.recipe, plan.folder / planned.folder, observer)
        except InterruptedRunError:
            raise InterruptedRunError(STOPPED) from None
        except FedloomError as error:
            tell(f"   failed: {error}")
            failed += 1 + len(plan.repairs)
            continue
        for settings in plan.repairs:
            try:
                repaired = repair_run(finished.folder, settings)
            except InterruptedRunError:
                raise InterruptedRunError(STOPPED) from None
            except FedloomError as error:
                tell(f"   repair level {settings['level']} failed: {error}")
                failed += 1
                continue
            tell(f"   repair level {settings['level']}: {_told(repaired.metrics, read_run(finished.folder))}")
    return failed


def read_matrix(folder: Path) -> list[MatrixCell]:
    """The matrix of all finished runs and repairs in `folder`: means over the seeds that are finished."""
    index = _index(folder)
    found: dict[tuple[str, str, str], dict[int, Mapping[str, float]]] = {}
    for entry in index["runs"]:
        path = folder / entry["folder"]
        if (done := read(path)).status != "finished":
            continue
        measures = {NO_REPAIR: {**done.metrics, "seconds": done.seconds}, **dict(_repairs(path, index["repairs"], done))}
        for repair, values in measures.items():
            found.setdefault((entry["attack"], entry["rule"], repair), {})[entry["seed"]] = values
    return [_summary(key, values) for key, values in found.items()]


def matrix_measures(folder: Path) -> MatrixMeasures:
    """The measures of the runs in `folder`, from their manifests."""
    records = [read_run(folder / entry["folder"]) for entry in _index(folder)["runs"]]
    return MatrixMeasures(united(record.probe_measures for record in records), united(record.measures for record in records))


def _repairs(path: Path, levels: Mapping[str, Any], done: Run) -> Iterator[tuple[str, Mapping[str, float]]]:
    """(name, values) of every repair of the run in `path` that was made with the settings in `levels` and of the run's present adapter."""
    for level in sorted(levels):
        file = repair_folder(path, int(level)) / "repair.json"
        if not file.exists():
            continue
        kept = read_json(file, dict)
        if (kept["of"]["settings"], kept["of"]["adapter_sha256"]) == (levels[level], done.adapter_sha256):
            cost = kept["cost"]
            yield f"level {level}", {**kept["metrics"], "seconds": cost["seconds"] + cost["training_seconds"]}


def _cell(plain: Mapping[str, Any], behaviour: Mapping[str, Any], rule: Mapping[str, Any], seed: int) -> Recipe:
    """The recipe of one run."""
    own = plain["clients"]["behaviour"]
    clients = {"malicious": plain["clients"]["malicious"], "behaviour": behaviour, "beside": own if behaviour != own else None}
    return load_recipe({**plain, "clients": clients, "algorithm": dict(rule), "seed": seed})


def _attack(attack: str | Mapping[str, Any], own: Mapping[str, Any]) -> tuple[str, Mapping[str, Any]]:
    """The attack's name in the table, and the behaviour; `own` is the recipe's behaviour."""
    settings = {"kind": attack} if isinstance(attack, str) else dict(attack)
    if settings["kind"] in (NO_ATTACK, "honest"):
        return NO_ATTACK, {"kind": "honest"}
    return _label(settings, "kind", {}), {**(own if settings["kind"] == own["kind"] else {}), **settings}


def _rule(rule: str | Mapping[str, Any], malicious: int, own: Mapping[str, Any]) -> tuple[str, Mapping[str, Any]]:
    """The rule's name in the table, and its settings, with the number of malicious clients if it has that setting; `own` is the recipe's
    algorithm."""
    settings = {"name": rule} if isinstance(rule, str) else dict(rule)
    takes = {setting.name for setting in settings_of(algorithms.get(settings["name"]))}
    known = {"malicious": malicious} if "malicious" in takes else {}
    return _label(settings, "name", known), {**(own if settings["name"] == own["name"] else {}), **known, **settings}


def _label(settings: Mapping[str, Any], key: str, known: Mapping[str, Any]) -> str:
    """The name in `settings`, and in brackets the other settings, without those that have their value in `known`."""
    said = ", ".join(f"{name} {value}" for name, value in settings.items() if name != key and known.get(name) != value)
    return f"{settings[key]} ({said})" if said else str(settings[key])


def _policies(recipe: Recipe) -> dict[str, str]:
    """name -> SHA-256 of every policy that the recipe's behaviour, probes and finish steps use."""
    behaviour = [recipe.clients.behaviour] if recipe.clients.behaviour else []
    names = [hook.settings.get("policy") for hook in (*behaviour, *recipe.evaluate.probes, *recipe.finish)]
    return {name: load_policy(name).sha256 for name in names if name}


def _index(folder: Path) -> dict[str, Any]:
    """The content of matrix.json, without runs that have not begun and without repairs that no run has."""
    path = folder / INDEX
    if not path.exists():
        return {"common": None, "repairs": {}, "runs": []}
    try:
        found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        runs = [entry for entry in found["runs"] if (folder / entry["folder"] / "checkpoints").exists()]
        repairs = {
            level: settings
            for level, settings in found["repairs"].items()
            if any((repair_folder(folder / entry["folder"], int(level)) / "repair.json").exists() for entry in runs)
        }
        return {"common": found["common"] if runs else None, "repairs": repairs, "runs": runs}
    except (ValueError, RecursionError, KeyError, TypeError):
        raise RecipeError(f"{path}: is damaged; remove it, and the same commands enter the runs again") from None


def _refuse_another(plan: Plan) -> None:
    known = _index(plan.folder)
    if known["common"] is not None and known["common"] != json.loads(json.dumps(plan.common)):
        raise RecipeError(f"{plan.folder}: holds a matrix of another recipe or policy; choose another folder with --out")
    versions = {path: version for entry in known["runs"] for path, version in entry["versions"].items()}
    for path, version in ((path, version) for one in plan.runs for path, version in one.versions.items()):
        if versions.get(path, version) != version:
            raise RecipeError(
                f"{path}: has changed since {plan.folder} was begun; bring the old one back, or choose another folder with --out"
            )
    for settings in plan.repairs:
        level = str(settings["level"])
        if known["repairs"].get(level, settings) != settings:
            raise RecipeError(f"{plan.folder}: holds repairs of level {level} with other settings; choose another folder with --out")


def _enter(plan: Plan) -> None:
    """Add the plan's runs and repairs to matrix.json."""
    known = _index(plan.folder)
    runs = {entry["folder"]: entry for entry in known["runs"]}
    for one in plan.runs:
        runs.setdefault(
            one.folder, {"folder": one.folder, "attack": one.attack, "rule": one.rule, "seed": one.seed, "versions": one.versions}
        )
    repairs = known["repairs"] | {str(settings["level"]): settings for settings in plan.repairs}
    content = {"common": plan.common, "repairs": repairs, "runs": list(runs.values())}
    write_atomic(plan.folder / INDEX, json.dumps(content, indent=2) + "\n")


def _finished(recipe: Recipe, folder: Path, observer: Observer | None) -> Run:
    if not (folder / "checkpoints").exists():
        return run(recipe, folder, observer)
    if load_recipe(folder / "recipe.yaml") != recipe:
        raise RecipeError(f"{folder}: holds a run of another recipe; choose another folder with --out")
    return resume(folder, observer)


def _summary(key: tuple[str, str, str], by_seed: Mapping[int, Mapping[str, float]]) -> MatrixCell:
    values = list(by_seed.values())
    names = [name for name in values[0] if all(name in one for one in values)]
    mean = {name: fmean(one[name] for one in values) for name in names}
    spread = {name: stdev([one[name] for one in values]) if len(values) > 1 else None for name in names}
    return MatrixCell(*key, sorted(by_seed), mean, spread)


def _told(metrics: Mapping[str, float], record: RunRecord) -> str:
    """The values of a repair, one after another, without measures of which no direction is better."""
    measures = (measure for measure in (*record.probe_measures, *record.measures) if measure.better != "neither")
    values = ((measure, metrics.get(f"federated/{measure.name}")) for measure in measures)
    return ", ".join(f"{measure.title} {measure.shown(value)}" for measure, value in values if value is not None)
