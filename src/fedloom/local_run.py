"""A run on this machine: all owners' data, one bench, and the sites and workers that take turns at it."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from fedloom.agreed import Agreed, agree, places_of
from fedloom.algorithms import Algorithm, algorithms
from fedloom.compatible import check_drawn
from fedloom.data.clients import ClientData, FederatedData
from fedloom.data.measured_rows import federated_data
from fedloom.data.record_sequence import provenances
from fedloom.data.records import Provenance
from fedloom.data.summary import holding, shown_field
from fedloom.errors import RecipeError
from fedloom.federation.bodies import Holding
from fedloom.federation.client_models import ClientModels
from fedloom.federation.engine import Engine
from fedloom.federation.engines.delays import LateReplies
from fedloom.federation.engines.local import LocalEngine, LocalSites
from fedloom.federation.engines.pool import WorkerPool
from fedloom.federation.engines.ray import RayWorkers
from fedloom.federation.engines.workers import Workers
from fedloom.federation.rounds import Federation
from fedloom.federation.run_folder import RunFolder
from fedloom.federation.site import SiteData
from fedloom.files import cache_folder, disk_errors_named, write_atomic
from fedloom.finishing import needs_updates
from fedloom.hooks import ServerSide
from fedloom.models.bench import Bench, BenchPlan, make_bench
from fedloom.recipe import Recipe
from fedloom.registry import nearest
from fedloom.safety.red_team import MaliciousClients, malicious_clients, with_changed_rows
from fedloom.state import State
from fedloom.tasks import tasks
from fedloom.tasks.encoding import without_untrainable

SMALL_MODEL = 5_000_000
"""Parameters below which worker processes, and a second thread, cost more than they save."""


@dataclass(frozen=True)
class LocalRun:
    """What a run on one machine works with. `start` is what is trained, before round 1; `malicious` names the malicious clients."""

    recipe: Recipe
    run_id: str
    data: FederatedData
    bench: Bench
    start: State
    sites: LocalSites
    workers: Workers
    worker_count: int
    threads: int
    malicious: frozenset[str]
    client_models: ClientModels | None
    progress: Callable[[str, int, int, str], None]

    @property
    def says(self) -> Provenance:
        """The provenance of what the joined model says, by the rows that it is trained on."""
        trained_on = {one for client in self.data.clients for one in provenances(client.train)}
        if trained_on <= {Provenance.PUBLIC}:
            return Provenance.PUBLIC
        return Provenance.PRIVATE if self.recipe.privacy is None else Provenance.DP_RELEASED

    @property
    def may_say_private_text(self) -> bool:
        """Whether the joined model was trained on PRIVATE rows without formal privacy: what it says may be text of such a row."""
        return self.recipe.privacy is None and any(Provenance.PRIVATE in set(provenances(client.train)) for client in self.data.clients)

    @property
    def server(self) -> ServerSide:
        return ServerSide(self.recipe, self.bench, self.start, self.sites.owners, self.says, self._updated, self.progress)

    def _updated(self) -> Iterator[tuple[str, State]]:
        return self.client_models.of(self.sites.owners) if self.client_models else iter(())

    def federation(
        self, recipe: Recipe, folder: RunFolder, left_out: Collection[str] = (), members: Sequence[str] = (), **how: Any
    ) -> Federation:
        """The federation of `recipe`, this run's own or a baseline's, in `folder`; `how` are further fields of it.

        A trainer that takes the rows of several owners leaves out those of the owners `left_out`. With `members` only these owners take
        part in it, and are measured.
        """
        owners = list(members or self.sites.owners)
        agreed = agree(recipe, self.bench, len(owners))
        engine = self._engine(recipe, agreed, folder, left_out, owners)
        steps = enumerate(agreed.steps_with(places_of(recipe)))
        sent = {str(number): rows for number, step in steps if (rows := step.sends())}
        return Federation(recipe.federation, agreed, engine, folder, self.run_id, measured=owners, sent=sent, **how)

    def _engine(self, recipe: Recipe, agreed: Agreed, folder: RunFolder, left_out: Collection[str], members: Sequence[str]) -> Engine:
        owners = self.sites.owners
        trainers = agreed.algorithm.trainers(owners) or {name: [name] for name in members}
        for trainer, pooled in trainers.items():
            if trainer not in owners:
                self.sites.pool(trainer, pooled, left_out)
        engine: Engine = LocalEngine(self.sites, self.workers, tuple(trainers))
        if self.malicious:
            engine = MaliciousClients(engine, recipe.clients.behaviour, self.malicious, agreed.codec, agreed.seed)
        return LateReplies(engine, recipe.federation.delay, recipe.seed, folder.late) if recipe.federation.delay else engine


@contextmanager
def open_local(
    recipe: Recipe, folder: RunFolder, progress: Callable[[str, int, int, str], None] = lambda client, done, total, pace: None
) -> Iterator[LocalRun]:
    """Load data and model, make the sites and start the workers of the run in `folder`; all is put away at the end."""
    data = federated_data(recipe)
    names = [client.name for client in data.clients]
    _check_kind(recipe, data.kind)
    _check_counts(recipe, names)
    malicious = malicious_clients(recipe, names)
    data = with_changed_rows(data, recipe, malicious)
    plan = bench_plan(recipe)
    bench = make_bench(plan)
    if not recipe.prepare:  # prepare steps make other rows
        data = without_untrainable(tasks.get(recipe.task.kind)(**recipe.task.settings), data, bench.encoder)
        names = [client.name for client in data.clients]
        _check_counts(recipe, names)
    sites_folder = _sites_folder(folder)
    shown, places = shown_field(recipe.data, data.clients), places_of(recipe)
    start = bench.parameters.state()
    held = {client.name: SiteData(client.train, client.held_out, _holding(client, shown), start, places) for client in data.clients}
    sites = LocalSites(bench, sites_folder, held, progress)
    count = _worker_count(recipe, bench, len(names))
    threads, ours = _threads(recipe, bench, count), frozenset(malicious) & set(names)
    with torch_threads(threads if count == 1 else cores()):  # beside workers, this process works only while they wait
        workers = _workers(recipe, plan, bench, sites, count, threads)
        try:
            models = ClientModels(folder.path / "clients", recipe.federation.rounds) if needs_updates(recipe) else None
            yield LocalRun(recipe, folder.run_id(), data, bench, start, sites, workers, count, threads, ours, models, progress)
        finally:
            workers.close()


def bench_plan(recipe: Recipe) -> BenchPlan:
    """How the recipe's model is made, here or in a worker."""
    task = tasks.get(recipe.task.kind)(**recipe.task.settings)
    return BenchPlan(recipe.model, task.model_kind, task.labels_of_head, recipe.data, recipe.seed, tuple(recipe.plugins))


def algorithm_of(recipe: Recipe) -> Algorithm:
    return algorithms.get(recipe.algorithm.name)(**recipe.algorithm.settings)


def _check_kind(recipe: Recipe, kind: str) -> None:
    """Raise RecipeError for records of another `kind` than the task takes, where no prepare step turns them into others."""
    record = tasks.get(recipe.task.kind).record
    if not recipe.prepare and kind != record:
        held = f"{recipe.data.source} holds {kind}s"
        raise RecipeError(f"task.kind: {recipe.task.kind} takes {record}s, but {held}; choose another task or source")


def _check_counts(recipe: Recipe, names: list[str]) -> None:
    """Raise RecipeError for counts and names that do not go with the clients that the data gives."""
    per_round, given = recipe.federation.per_round, len(names)
    drawn = per_round or given
    if per_round and per_round > given:
        raise RecipeError(
            f"federation.per_round is {per_round}, but the clients that the data gives are {given}; set it to {given} or null"
        )
    if recipe.federation.quorum > drawn:
        raise RecipeError(f"federation.quorum is {recipe.federation.quorum}, but only {drawn} clients take part in a round")
    algorithm = algorithm_of(recipe)
    check_drawn(recipe.algorithm.name, algorithm, drawn)
    for name in algorithm.ranks:
        if name not in names:
            raise RecipeError(f"algorithm.ranks: there is no client '{name}'{nearest(name, names)}")


def _holding(client: ClientData, shown: str | None) -> Holding:
    """What the client says of its rows: numbers, and counts of the values of the field `shown`."""
    found = holding(client, shown)
    numbers = {name: value for name, value in found.items() if isinstance(value, int | float)}
    return Holding(numbers, {name: value for name, value in found.items() if isinstance(value, dict) and value})


def _sites_folder(folder: RunFolder) -> Path:
    """The folder of the run's sites, in the cache: the run's own folder belongs to the server."""
    sites = cache_folder() / "sites" / folder.run_id()
    with disk_errors_named(sites):
        sites.mkdir(mode=0o700, parents=True, exist_ok=True)
    write_atomic(sites / "run.json", json.dumps({"run": str(folder.path.resolve())}) + "\n")
    return sites


def _workers(recipe: Recipe, plan: BenchPlan, bench: Bench, sites: LocalSites, count: int, threads: int) -> Workers:
    if recipe.federation.engine == "ray":
        return RayWorkers(plan, sites.folder, count, threads)
    return WorkerPool(bench.model, plan, sites.folder, count, threads) if count > 1 else sites


def _worker_count(recipe: Recipe, bench: Bench, clients: int) -> int:
    wanted = recipe.federation.workers
    at_once = min(recipe.federation.per_round or clients, clients)
    if wanted != "auto":
        return min(int(wanted), at_once)
    if bench.device.type != "cpu" or bench.base_parameters < SMALL_MODEL:
        return 1
    return min(cores(), at_once)


def _threads(recipe: Recipe, bench: Bench, workers: int) -> int:
    if recipe.federation.threads != "auto":
        return int(recipe.federation.threads)
    return 1 if bench.base_parameters < SMALL_MODEL else max(1, cores() // workers)


@contextmanager
def torch_threads(count: int) -> Iterator[None]:
    """Let torch compute with `count` threads for as long as a `with` block."""
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def cores() -> int:
    """The cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
