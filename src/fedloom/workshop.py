"""The workshop: what a run works with once its recipe is resolved, and the prepare hook that fills it."""

from __future__ import annotations

import os
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch

from fedloom.algorithms import Algorithm, algorithms
from fedloom.data.clients import ClientData, FederatedData, build_clients
from fedloom.data.records import Conversation, Turn
from fedloom.errors import DataError, RecipeError
from fedloom.federation.engine import Engine
from fedloom.federation.engines.delays import LateReplies
from fedloom.federation.engines.jobs import Bench, behaviour_of
from fedloom.federation.engines.local import InProcess, LocalEngine, Workers
from fedloom.federation.engines.pool import WorkerPool
from fedloom.federation.engines.ray import RayWorkers
from fedloom.federation.party import ClientRows
from fedloom.files import cache_folder
from fedloom.hooks import prepare_steps
from fedloom.models.load import LoadedModel, load_model
from fedloom.models.trainable import make_trainable
from fedloom.recipe import Recipe
from fedloom.registry import nearest
from fedloom.runfolder import RunFolder
from fedloom.state import State
from fedloom.streams import numpy_stream
from fedloom.tasks import Task, tasks

SMALL_MODEL = 5_000_000
"""Parameters below which worker processes, and a second thread, cost more than they save."""


@dataclass(frozen=True)
class Workshop:
    """A resolved run: data per owner, encoded rows, one model, and the workers that lend it to clients. `start` is what is trained."""

    recipe: Recipe
    data: FederatedData
    rows: Mapping[str, ClientRows]
    loaded: LoadedModel
    bench: Bench
    start: State
    workers: Workers
    worker_count: int
    threads: int

    def engine(self, recipe: Recipe, folder: RunFolder, left_out: Collection[str] = ()) -> Engine:
        """An engine for `recipe`, this run's own or a baseline's, that keeps what is the clients' in `folder`.

        Where a trainer takes the rows of several clients together, it does without those of the clients `left_out`.
        """
        owners = {client.name: client for client in self.data.clients}
        trainers = algorithm_of(recipe).trainers(list(owners)) or {name: [name] for name in owners}
        rows = dict(self.rows)
        for trainer, merged in trainers.items():
            if trainer not in rows:
                examples = [example for owner in merged if owner not in left_out for example in owners[owner].train]
                rows[trainer] = _encode(trainer, examples, [], recipe, self.loaded, task_of(recipe))
        engine = LocalEngine(self.workers, recipe, rows, tuple(trainers), folder.clients)
        delay = recipe.federation.delay
        return LateReplies(engine, delay, recipe.seed, folder.late) if delay else engine


def task_of(recipe: Recipe) -> Task:
    return tasks.get(recipe.task.kind)(**recipe.task.settings)


def algorithm_of(recipe: Recipe) -> Algorithm:
    return algorithms.get(recipe.algorithm.name)(**recipe.algorithm.settings)


@contextmanager
def open_workshop(recipe: Recipe) -> Iterator[Workshop]:
    """Load data and model, let every client prepare, and start the workers; all is put away at the end."""
    data = prepare(recipe)
    per_round = recipe.federation.per_round
    if per_round and per_round > len(data.clients):
        given = len(data.clients)
        raise RecipeError(
            f"federation.per_round is {per_round}, but the clients that the data gives are {given}; set it to {given} or null"
        )
    if recipe.federation.quorum > (per_round or len(data.clients)):
        raise RecipeError(
            f"federation.quorum is {recipe.federation.quorum}, but only {per_round or len(data.clients)} clients take part in a round"
        )
    if (needed := algorithm_of(recipe).needs_clients) > (drawn := per_round or len(data.clients)):
        raise RecipeError(f"federation.per_round: {recipe.algorithm.name} needs {needed} or more clients in a round, but {drawn} are drawn")
    task = task_of(recipe)
    for name in algorithm_of(recipe).ranks:
        if name not in (known := [client.name for client in data.clients]):
            raise RecipeError(f"algorithm.ranks: there is no client '{name}'{nearest(name, known)}")
    loaded = load_model(recipe.model, task.head)
    malicious = malicious_clients(recipe, [client.name for client in data.clients])
    rows = {
        client.name: replace(_encode(client.name, client.train, client.held_out, recipe, loaded, task), malicious=client.name in malicious)
        for client in data.clients
    }
    bench = Bench(make_trainable(loaded.model, recipe.model.adapter, recipe.seed))
    count = _worker_count(recipe, loaded, len(data.clients))
    before, threads = torch.get_num_threads(), _threads(recipe, loaded, count)
    torch.set_num_threads(threads if count == 1 else _cores())  # beside workers, this process works only while they wait
    workers = _workers(recipe, bench, count, threads)
    try:
        yield Workshop(recipe, data, rows, loaded, bench, bench.parameters.state(), workers, count, threads)
    finally:
        workers.close()
        torch.set_num_threads(before)


def prepare(recipe: Recipe) -> FederatedData:
    """The prepare hook: each client's rows, after every step of `recipe.prepare`, with the share that is held out left as it is."""
    data = build_clients(recipe)
    steps = [prepare_steps.get(step.kind)(**step.settings) for step in recipe.prepare]
    malicious = malicious_clients(recipe, [client.name for client in data.clients])
    behaviour = behaviour_of(recipe)
    clients = []
    for client in data.clients:
        examples: Sequence[Conversation] = client.train
        if client.name in malicious:
            examples = behaviour.change_rows(client.name, examples, numpy_stream(recipe.seed, "behaviour", client.name))
        for number, step in enumerate(steps):
            examples = step.apply(client.name, examples, numpy_stream(recipe.seed, "prepare", number, client.name))
        if not examples:
            raise DataError(f"prepare: client '{client.name}' has no rows left to train on")
        held_out = [] if client.name in malicious else _kept(client, recipe)  # a good attacker's wishes are no measure of the joint model
        clients.append(ClientData(client.name, list(examples), held_out))
    return replace(data, clients=tuple(clients))


def malicious_clients(recipe: Recipe, names: Sequence[str]) -> set[str]:
    """The clients that behave as `recipe.clients` says, drawn by the seed. Raises RecipeError when none would be left that is honest."""
    wanted = recipe.clients.malicious
    if wanted >= len(names):
        raise RecipeError(f"clients.malicious is {wanted}, but the clients that the data gives are {len(names)}; leave one that is honest")
    return {names[i] for i in numpy_stream(recipe.seed, "malicious").permutation(len(names))[:wanted]}


def _kept(client: ClientData, recipe: Recipe) -> list[Conversation]:
    """The held-out rows that are measured: evaluate.max_rows of them, drawn by the seed."""
    wanted, rows = recipe.evaluate.max_rows, client.held_out
    if wanted is None or wanted >= len(rows):
        return rows
    drawn = numpy_stream(recipe.seed, "measured", client.name).permutation(len(rows))[:wanted]
    return [rows[i] for i in sorted(drawn.tolist())]


def _encode(
    name: str, train: Sequence[Conversation], held_out: Sequence[Conversation], recipe: Recipe, loaded: LoadedModel, task: Task
) -> ClientRows:
    def encoded(examples: Sequence[Conversation]) -> Path:
        try:
            return task.encode(examples, loaded.tokenizer, recipe.data.template, recipe.data.max_length, cache_folder() / "rows")
        except DataError as error:
            raise DataError(f"client '{name}': {error}") from None

    path = encoded(train)
    if not task.trainable(task.load(path)):
        raise DataError(
            f"client '{name}' has no response tokens to train on: every row is cut before its response begins; "
            f"raise data.max_length ({recipe.data.max_length}), or shorten the prompts"
        )
    answers = [(group, example) for group, row in enumerate(held_out) for example in _with_each_answer(row)]
    groups = tuple(group for group, _ in answers)
    return ClientRows(name, path, len(train), encoded([example for _, example in answers]) if answers else None, groups)


def _with_each_answer(example: Conversation) -> list[Conversation]:
    """The example, and once more for every other answer that counts as right."""
    return [example, *(replace(example, turns=(*example.prompt, Turn("assistant", answer))) for answer in example.alternatives)]


def _workers(recipe: Recipe, bench: Bench, count: int, threads: int) -> Workers:
    if recipe.federation.engine == "ray":
        return RayWorkers(recipe, count, threads)
    return WorkerPool(bench.model, recipe, count, threads) if count > 1 else InProcess(bench)


def _worker_count(recipe: Recipe, loaded: LoadedModel, clients: int) -> int:
    wanted = recipe.federation.workers
    at_once = min(recipe.federation.per_round or clients, clients)
    if wanted != "auto":
        return min(int(wanted), at_once)
    if loaded.device.type != "cpu" or _parameters(loaded.model) < SMALL_MODEL:
        return 1
    return min(_cores(), at_once)


def _threads(recipe: Recipe, loaded: LoadedModel, workers: int) -> int:
    if recipe.federation.threads != "auto":
        return int(recipe.federation.threads)
    return 1 if _parameters(loaded.model) < SMALL_MODEL else max(1, _cores() // workers)


def _parameters(model: Any) -> int:
    return sum(parameter.numel() for parameter in model.parameters())


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
