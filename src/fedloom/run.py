"""A run: the four hooks in order. Read this file first, and then you know the program.

prepare    each client, once    turn what the client has into training data          (federation.opening, at the client federation.site)
train      each round           local work on each drawn client                      (federation.rounds, at the client federation.site)
aggregate  each round           the server joins the updates                         (federation.rounds, algorithms)
finish     server, once         work on the joined model before it is handed out     (hooks.finish_steps)
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from time import perf_counter, time
from typing import Any

from fedloom.agreed import places_of
from fedloom.benchmarking import ask_suites, check_suites, made_suites
from fedloom.comparing import check_clusters, compare
from fedloom.data.row_notes import row_notes, source_notes
from fedloom.errors import FedloomError, InterruptedRunError, RecipeError, RunStoppedError
from fedloom.federation.membership import measure_membership
from fedloom.federation.memory import forget_memories
from fedloom.federation.observer import Observer
from fedloom.federation.opening import open_federation
from fedloom.federation.rounds import Federation, run_rounds
from fedloom.federation.run_folder import RunFolder, existing_run, locked
from fedloom.files import remove, sha256_of, unfinished, write_atomic
from fedloom.finishing import keep_samples, made_steps, take_finish_steps
from fedloom.handing_out import hand_out, leaves_parts_with_clients, shared_alone
from fedloom.hooks import FinishStep, PrepareStep, Probe
from fedloom.local_run import LocalRun, open_local
from fedloom.manifest import check_same_data, described, holding_of, surroundings
from fedloom.outcome import Run, new_folder, read
from fedloom.plan import make_plan, nothing_measured
from fedloom.probing import made_probes, probing
from fedloom.recipe import Recipe
from fedloom.report.html import write_report
from fedloom.resolve import load_recipe
from fedloom.watching import Watchers


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


def resume(folder: str | Path, observer: Observer | None = None) -> Run:
    """Go on with the run in `folder` from its last checkpoint; a finished run is given back as it is."""
    path = existing_run(Path(folder))
    if RunFolder(path).manifest().get("status") == "finished":
        return read(path)
    with locked(path):
        return _execute(load_recipe(path / "recipe.yaml"), RunFolder(path), observer or Observer())


def _four_hooks(recipe: Recipe, folder: RunFolder, observer: Observer) -> None:
    with Watchers(observer, recipe, folder.path) as watchers, open_local(recipe, folder, watchers.client_progress) as local:
        check_same_data(local.data, folder)
        steps, probes, asked = made_steps(recipe), made_probes(recipe), made_suites(recipe)
        federation = own_federation(local, folder, watchers, probes)
        checked: tuple[PrepareStep | Probe | FinishStep, ...] = (*federation.agreed.steps_with(places_of(recipe)), *probes, *steps)
        for part in checked:
            part.check(local.server)
        check_suites(asked, local.server)
        check_clusters(local)

        opened = open_federation(federation, timed=True)
        local.bench.lent.clear()
        folder.update_manifest(**described(local, federation.agreed, opened, probes, steps))
        watchers.plan(make_plan(local, federation, opened))
        if recipe.evaluate.every and not opened.rows("held_out"):
            watchers.note(nothing_measured(recipe))
        for note in (*source_notes(local.data, recipe), *row_notes([holding_of(name, opened) for name in local.sites.owners])):
            watchers.note(note)

        joined = state = run_rounds(federation, local.start)
        if recipe.evaluate.membership:
            measure_membership(federation, state, local.start)
        state, failure = take_finish_steps(recipe, steps, local.server, federation, state)
        handed_out = hand_out(local.bench, folder, state)
        folder.update_manifest(adapter_sha256=sha256_of(handed_out))
        alone = compare(local, folder, federation, joined)
        systems = {"base": [local.start], "local": alone, "federated": [joined], "finished": [state] if steps else []}
        ask_suites(asked, local.server, federation, systems, folder.path)
        keep_samples(recipe, folder, federation, local.start, state, not local.may_say_private_text)
        if leaves_parts_with_clients(recipe):
            watchers.note(shared_alone(recipe, handed_out))
        if failure:
            raise FedloomError(f"{failure} (the model without this step is in {handed_out.parent})") from failure
        forget_memories(local.sites.folder)
        if local.client_models:
            local.client_models.clear()


def own_federation(local: LocalRun, folder: RunFolder, observer: Observer, probes: Sequence[Probe]) -> Federation:
    """The run's own federation, not that of a baseline."""
    recipe = local.recipe
    return local.federation(
        recipe,
        folder,
        evaluate_every=recipe.evaluate.every,
        measure_start="base" in recipe.evaluate.baselines,
        probe=probing(probes, local.server, folder, observer),
        client_models=local.client_models,
        observer=observer,
    )


def _note_changed_recipe(folder: RunFolder, observer: Observer) -> None:
    """Say, also in the audit log, that the recipe of a run was changed since it was last gone on with: the rest goes by the new one."""
    known, now = folder.manifest().get("recipe_sha256"), sha256_of(folder.path / "recipe.yaml")
    if known not in (None, now):
        folder.audit.enter("recipe changed", before=known, after=now)
        observer.note(f"{folder.path / 'recipe.yaml'} has changed since this run was begun; what is left of it goes by the new one")
    folder.update_manifest(recipe_sha256=now)


def _execute(recipe: Recipe, folder: RunFolder, observer: Observer) -> Run:
    """The run, with its beginning and its end written down whatever happens in between."""
    begin, earlier = perf_counter(), folder.seconds_so_far()
    for left in unfinished(folder.path):
        remove(left)
    folder.audit.enter("resumed" if folder.manifest() else "started")
    _note_changed_recipe(folder, observer)
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
        last = folder.audit.enter(status)
        seconds, traffic = earlier + perf_counter() - begin, folder.wire.total_bytes()
        folder.update_manifest(status=status, reason=reason, seconds=seconds, traffic_bytes=traffic, audit_sha256=last)
        write_report(folder.path)
    return read(folder.path)
