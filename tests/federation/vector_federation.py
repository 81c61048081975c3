"""A federation small enough to follow by hand: the model is a vector, a client pulls it towards its own target.

Parties, messages, memory and rounds are the real ones; the engine does as it is told, failures included.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path

import torch
from torch import nn

import fedloom.algorithms
from fedloom.errors import FedloomError
from fedloom.federation.engine import Assignment, Reply
from fedloom.federation.messages import Expected, Message, decode
from fedloom.federation.observer import Observer
from fedloom.federation.party import ClientRows, Party, Terms
from fedloom.federation.rounds import Federation, run_rounds
from fedloom.models.flat import FlatParameters, trained_state
from fedloom.recipe import FederationRecipe
from fedloom.runfolder import RunFolder
from fedloom.state import State
from fedloom.tasks.base import LossPart, Measures, Task

CLIENTS = ("north", "east", "south", "west")
SIZE = 300

Fault = Callable[[bytes], Reply | bytes]


class Vector(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.w = nn.Parameter(torch.zeros(SIZE))


class Targets(list):
    """A client's rows: vectors that it would like the model to be."""

    truncated = 0


@dataclass(frozen=True)
class Pull(Task):
    """Half the squared distance to the mean target of the batch."""

    def load(self, path: Path) -> Targets:
        stream = torch.Generator().manual_seed(CLIENTS.index(path.name))
        return Targets(torch.randn(6, SIZE, generator=stream))

    def losses(self, model, rows, indices):
        target = torch.stack([rows[i] for i in indices]).mean(0)
        yield LossPart((model.w - target).square().sum() / 2, len(indices))

    @torch.no_grad()
    def evaluate(self, model, rows, groups, batch_size):
        return Measures(sum(float((model.w - row).square().sum()) for row in rows), len(rows), 1, len(rows))


@dataclass
class VectorEngine:
    """Asks the parties in `folder`. `faults`: (client, round) -> what happens to its reply in the first, second ... try."""

    folder: Path
    terms: Terms
    names: tuple[str, ...] = CLIENTS
    faults: dict[tuple[str, int], list[Fault | None]] = field(default_factory=dict)
    order: Callable[[list[Reply]], Iterable[Reply]] = iter
    received: list[tuple[str, Message]] = field(default_factory=list)

    def clients(self):
        return self.names

    def dispatch(self, assignments, deadline):
        yield from self.order([self._reply(assignment) for assignment in assignments])

    def late_replies(self, round_number):
        return iter(())

    def _reply(self, assignment: Assignment) -> Reply:
        client = assignment.client
        rows = ClientRows(client, Path(client), 10 + len(client), Path(client), tuple(range(6)))
        model = Vector()
        party = Party(model, FlatParameters(model), self.terms, rows, self.folder / "clients" / client)
        self.received.append((client, decode(assignment.message, Expected(assignment.kind, assignment.round, client))))
        fault = next(iter(self.faults.get((client, assignment.round), ())), None)
        if self.faults.get((client, assignment.round)):
            self.faults[client, assignment.round].pop(0)
        try:
            message = party.answer(assignment.kind, assignment.round, assignment.message, None)
        except FedloomError as error:
            return Reply(client, None, str(error))
        changed = fault(message) if fault else message
        return changed if isinstance(changed, Reply) else Reply(client, changed)


def federation(
    path: Path,
    algorithm: str = "fedavg",
    rounds: int = 3,
    names: tuple[str, ...] = CLIENTS,
    faults: dict[tuple[str, int], list[Fault | None]] | None = None,
    order: Callable[[list[Reply]], Iterable[Reply]] = iter,
    observer: Observer | None = None,
    evaluate_every: int = 0,
    **terms: object,
) -> Federation:
    """A federation of vectors in the folder `path`; the same arguments give the same bytes."""
    recipe = FederationRecipe(rounds=rounds, **terms)
    task = Pull(batch_size=2, steps=3, learning_rate=0.1)
    rule = fedloom.algorithms.get(algorithm)()
    agreed = Terms(task, fedloom.algorithms.get(algorithm)(), recipe.codec, 7, 4)
    engine = VectorEngine(path, agreed, names, faults or {}, order)
    return Federation(
        recipe,
        task,
        rule,
        engine,
        RunFolder(path),
        7,
        evaluate_every=evaluate_every,
        measured=names if evaluate_every else (),
        observer=observer or Observer(),
    )


def trained(path: Path, **arguments: object) -> State:
    """The state that the federation of vectors ends in."""
    return run_rounds(federation(path, **arguments), trained_state(Vector()))
