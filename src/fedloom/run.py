"""A run: the four hooks in order. Read this file first, and then you know the program.

prepare    each client, once    turn what the client has into training data          (workshop.prepare)
train      each round           local work on each drawn client                      (federation.party)
aggregate  each round           the server joins the updates                         (federation.rounds, algorithms)
finish     server, once         work on the joined model before it is handed out     (hooks.finish_steps)
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from time import perf_counter, time
from typing import Any

from fedloom.data.records import Provenance
from fedloom.data.summary import shown_field, summary
from fedloom.errors import FedloomError, InterruptedRunError, RecipeError, RunStoppedError
from fedloom.evaluation.baselines import record_majority, run_baselines
from fedloom.evaluation.samples import sample_answers
from fedloom.federation.checkpoint import last_checkpoint
from fedloom.federation.observer import Observer
from fedloom.federation.rounds import Federation, evaluate, run_rounds
from fedloom.files import sha256_of, versions_of, write_atomic
from fedloom.hooks import FinishStep, finish_steps, probes
from fedloom.manifest import surroundings
from fedloom.models.adapters import WEIGHTS, save_adapter
from fedloom.models.save import MODEL_WEIGHTS, save_model
from fedloom.plan import Plan, make_plan
from fedloom.recipe import Recipe, load_recipe
from fedloom.report.html import write_report
from fedloom.report.loggers import loggers
from fedloom.report.safety import fell, is_refusal
from fedloom.runfolder import RunFolder, existing_run, locked
from fedloom.state import State
from fedloom.workshop import Workshop, algorithm_of, open_workshop, task_of


@dataclass(frozen=True)
class Run:
    """A run as it stands on disk. `metrics` are the last held-out measures, all clients' rows together ("federated/loss" and so on), and
    what probes measured ("federated/refusal")."""

    folder: Path
    status: str
    reason: str | None
    rounds: int
    metrics: Mapping[str, float]
    traffic_bytes: int
    seconds: float
    adapter_sha256: str | None

    @property
    def adapter_path(self) -> Path:
        """What was trained: the adapter in PEFT's format, or the whole model of a run without one."""
        return RunFolder(self.folder).trained

    @property
    def state(self) -> State:
        """The joined state after the last round that was checkpointed."""
        checkpoint = last_checkpoint(self.folder / "checkpoints")
        if checkpoint is None:
            raise FedloomError(f"{self.folder}: no round has been checkpointed yet")
        return checkpoint.state


def run(
    recipe: Recipe | str | Path | Mapping[str, Any], out: str | Path | None = None, observer: Observer | None = None, **overrides: Any
) -> Run:
    """Run `recipe` (a path, a preset's name, a mapping) with `overrides` ({"federation.rounds": 2}, or rounds=2) into the folder `out`.

    Raises a FedloomError with one line when something is wrong. A run that stops below quorum, or by Ctrl-C, can be resumed.
    """
    resolved = load_recipe(recipe, overrides)
    folder = Path(out) if out else new_folder(resolved)
    if (folder / "recipe.yaml").exists() and (folder / "checkpoints").exists():  # else nothing was trained: the recipe has been mended
        raise RecipeError(f"{folder}: already holds a run; continue it with `fedloom resume {folder}`, or choose another folder with --out")
    with locked(folder):
        write_atomic(folder / "recipe.yaml", resolved.to_yaml())
        return _execute(resolved, RunFolder(folder), observer or Observer())


def new_folder(recipe: Recipe) -> Path:
    """Where a run goes that is not told where: runs/NAME-TIME."""
    return Path("runs") / f"{recipe.name}-{datetime.now():%Y%m%d-%H%M%S}"


def resume(folder: str | Path, observer: Observer | None = None) -> Run:
    """Go on with the run in `folder` from its last checkpoint; a finished run is given back as it is."""
    path = existing_run(Path(folder))
    if RunFolder(path).manifest().get("status") == "finished":
        return read(path)
    with locked(path):
        resolved = load_recipe(path / "recipe.yaml")
        return _execute(resolved, RunFolder(path), observer or Observer())


def read(folder: str | Path) -> Run:
    """The run in `folder`, without running anything."""
    run_folder = RunFolder(existing_run(Path(folder)))
    manifest = run_folder.manifest()
    metrics = _last_measures(run_folder)
    checkpoint = last_checkpoint(run_folder.checkpoints)
    return Run(
        run_folder.path,
        manifest.get("status", "stopped"),
        manifest.get("reason"),
        checkpoint.round if checkpoint else 0,
        metrics,
        manifest.get("traffic_bytes", 0),
        manifest.get("seconds", 0.0),
        manifest.get("adapter_sha256"),
    )


def _last_measures(folder: RunFolder) -> dict[str, float]:
    return {
        event["name"].partition("/")[2]: event["value"]
        for event in folder.metrics()
        if event["client"] is None and event["name"].startswith(("held_out/", "probe/")) and not event["name"].endswith("/rows")
    }


def _execute(recipe: Recipe, folder: RunFolder, observer: Observer) -> Run:
    """The run, with its beginning and its end written down whatever happens in between."""
    begin, earlier = perf_counter(), _seconds_so_far(folder)
    folder.audit.enter("resumed" if folder.manifest() else "started")
    folder.update_manifest(
        run=recipe.name, status="running", reason=None, seconds=earlier, running_since=time(), **surroundings(folder.manifest())
    )
    status, reason = "failed", None
    try:
        _four_hooks(recipe, folder, observer)
        status = "finished"
    except KeyboardInterrupt:
        status, reason = "stopped", "interrupted"
        raise InterruptedRunError(f"stopped; go on with `fedloom resume {folder.path}`") from None
    except RunStoppedError as error:
        status, reason = "stopped", str(error)
        raise
    except BaseException as error:
        reason = str(error) if isinstance(error, FedloomError) else type(error).__name__
        raise
    finally:
        folder.audit.enter(status)
        folder.update_manifest(
            status=status, reason=reason, seconds=earlier + perf_counter() - begin, traffic_bytes=folder.wire.total_bytes()
        )
        write_report(folder.path)
    return read(folder.path)


def _seconds_so_far(folder: RunFolder) -> float:
    """Seconds that the run has taken by now; one that was killed worked until it last wrote a line."""
    manifest = folder.manifest()
    seconds = float(manifest.get("seconds", 0.0))
    log = folder.path / "metrics.jsonl"
    if manifest.get("status") == "running" and log.exists():
        seconds += max(0.0, log.stat().st_mtime - manifest["running_since"])
    return seconds


def _four_hooks(recipe: Recipe, folder: RunFolder, observer: Observer) -> None:
    with ExitStack() as stack:
        watcher = _Loggers(observer, recipe, folder.path, stack)
        workshop = stack.enter_context(open_workshop(recipe))
        _describe(workshop, folder)
        watcher.plan(make_plan(workshop))
        if workshop.data.left_out:
            watcher.note(f"{workshop.data.left_out} rows are held by nobody: the partition keeps the largest clients only")

        steps: list[FinishStep] = [finish_steps.get(step.kind)(**step.settings) for step in recipe.finish]
        for step in steps:
            step.check(workshop)

        federation = _federation(workshop, folder, watcher)
        state = run_rounds(federation, workshop.start)
        state, taken, failure = _finish(workshop, steps, state)
        if taken:
            evaluate(federation, state, recipe.federation.rounds, "finished")

        handed_out = hand_out(workshop, folder, state)
        folder.update_manifest(adapter_sha256=sha256_of(handed_out))
        _compare(workshop, folder, federation)
        samples = sample_answers(workshop, state)
        write_atomic(folder.path / "samples.json", json.dumps(samples, indent=2, ensure_ascii=False))
        if failure:
            raise FedloomError(f"{failure} (the model without this step is in {handed_out.parent})") from failure


def _federation(workshop: Workshop, folder: RunFolder, observer: Observer) -> Federation:
    recipe = workshop.recipe
    return Federation(
        terms=recipe.federation,
        task=task_of(recipe),
        algorithm=algorithm_of(recipe),
        engine=workshop.engine(recipe, folder),
        folder=folder,
        seed=recipe.seed,
        evaluate_every=recipe.evaluate.every,
        measured=[client.name for client in workshop.data.clients],
        measure_start="base" in recipe.evaluate.baselines,
        probe=_probe(workshop, folder, observer) if recipe.evaluate.probes else None,
        observer=observer,
    )


def _probe(workshop: Workshop, folder: RunFolder, observer: Observer) -> Callable[[State], dict[str, float]]:
    """All probes of the recipe as one function of a state, which tells the observer when the model declines less than at first."""
    chosen = [probes.get(probe.kind)(**probe.settings) for probe in workshop.recipe.evaluate.probes]

    def measure(state: State) -> dict[str, float]:
        found = {name: value for probe in chosen for name, value in probe.measure(state, workshop).items()}
        started = {event["name"].removeprefix("probe/base/"): event["value"] for event in folder.metrics()}
        for name, now in found.items():
            if is_refusal(name) and name in started and fell(started[name], now):
                observer.note(f"alert: {name} has fallen from {started[name]:.0%} to {now:.0%} of restricted requests")
        return found

    return measure


def _finish(workshop: Workshop, steps: Sequence[FinishStep], state: State) -> tuple[State, int, FedloomError | None]:
    """The finish hook: every step in turn, up to one that fails. Gives the state, the steps taken and the failure."""
    for taken, step in enumerate(steps):
        try:
            state = step.apply(state, workshop)
        except FedloomError as error:
            return state, taken, error
    return state, len(steps), None


def measure_state(workshop: Workshop, folder: RunFolder, state: State) -> dict[str, float]:
    """Measure `state` on the clients' held-out rows and by the recipe's probes, into the metrics of `folder`; names as in `Run.metrics`."""
    folder.cut({})
    evaluate(_federation(workshop, folder, Observer()), state, workshop.recipe.federation.rounds)
    return _last_measures(folder)


def hand_out(workshop: Workshop, folder: RunFolder, state: State) -> Path:
    """Write what was trained, the adapter or the whole model; gives the file of its weights."""
    recipe, bench = workshop.recipe.model, workshop.bench
    if recipe.adapter is not None:
        save_adapter(state, bench.model, folder.adapter, workshop.loaded.id, recipe.revision)
        return folder.adapter / WEIGHTS
    bench.parameters.load(state)
    save_model(bench.model, workshop.loaded.tokenizer, folder.model)
    return folder.model / MODEL_WEIGHTS


def _compare(workshop: Workshop, folder: RunFolder, federation: Federation) -> None:
    """Measure the baselines that are left: those that train."""
    wanted = set(workshop.recipe.evaluate.baselines)
    if "majority" in wanted and federation.task.has_majority:
        record_majority(workshop.data.clients, federation.metric)
    for event in run_baselines(workshop, folder, wanted & {"local", "centralized"}, federation.observer):
        federation.metric(event["round"], event["client"], event["name"], event["value"])


def _describe(workshop: Workshop, folder: RunFolder) -> None:
    """Put into the manifest what the run works on."""
    recipe, data, loaded = workshop.recipe, workshop.data, workshop.loaded
    trained = workshop.start.layout.numel
    folder.update_manifest(
        model={
            "id": loaded.id,
            "sha256": loaded.sha256,
            "parameters": sum(parameter.numel() for parameter in loaded.model.parameters()) - (trained if recipe.model.adapter else 0),
            "trained_parameters": trained,
        },
        data={
            "origin": data.origin,
            "sha256": data.sha256,
            "licences": data.licences,
            "left_out": data.left_out,
            "clients": summary(data.clients, shown_field(recipe.data, data.clients)),
        },
        files=versions_of([recipe.plain()["clients"], recipe.plain()["evaluate"]]),
        workers=workshop.worker_count,
        threads=workshop.threads,
        **_red_team(workshop),
    )


def _red_team(workshop: Workshop) -> dict[str, Any]:
    """What the manifest of a run with malicious clients says of them, so that its model is not taken for an ordinary one."""
    chosen = workshop.recipe.clients
    if chosen.behaviour is None or chosen.behaviour.kind == "honest":
        return {}
    unaligned = sum(row.provenance is Provenance.UNALIGNED for client in workshop.data.clients for row in client.train)
    malicious = [name for name, rows in workshop.rows.items() if rows.malicious]
    return {"red_team": {"malicious": malicious, "behaviour": chosen.behaviour.model_dump(), "unaligned_rows": unaligned}}


class _Loggers(Observer):
    """Passes everything on to the user's observer, and measures to the recipe's loggers."""

    def __init__(self, observer: Observer, recipe: Recipe, folder: Path, stack: ExitStack) -> None:
        self._observer = observer
        self._loggers = [loggers.get(name)(folder, recipe.name, recipe.plain()) for name in recipe.loggers]
        for logger in self._loggers:
            stack.callback(logger.close)

    def plan(self, plan: Plan) -> None:
        self._observer.plan(plan)

    def stage(self, name: str, total: int) -> None:
        self._observer.stage(name, total)

    def client_done(self, stage: str, client: str, failure: str | None) -> None:
        self._observer.client_done(stage, client, failure)

    def metric(self, round_number: int | None, client: str | None, name: str, value: float) -> None:
        self._observer.metric(round_number, client, name, value)
        for logger in list(self._loggers):
            try:
                logger.log({"round": round_number, "client": client, "name": name, "value": value})
            except Exception as error:  # noqa: BLE001 - a tracker that is away must not end a run of hours; its measures are in metrics.jsonl
                self._loggers.remove(logger)
                self.note(f"the logger {type(logger).__name__} failed and is left out from here on: {type(error).__name__}")

    def note(self, text: str) -> None:
        self._observer.note(text)
