"""A federation small enough to follow by hand: the model is a vector, a client pulls it towards its own target.

Sites, messages, memory and rounds are the real ones; the engine does as it is told, failures included.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path

import torch
from torch import nn

from fedloom.agreed import Agreed
from fedloom.federation.engine import Assignment, Reply
from fedloom.federation.messages import Envelope, Expected, Message, decode
from fedloom.federation.observer import Observer
from fedloom.federation.rounds import Federation, run_rounds
from fedloom.federation.run_folder import RunFolder
from fedloom.federation.site import Site
from fedloom.federation.site_folder import SiteFolder, SiteRows
from fedloom.models.bench import Bench
from fedloom.models.encoders import PictureEncoder
from fedloom.models.flat import FlatParameters, trained_state
from fedloom.models.kinds import ModelKind
from fedloom.recipe import FederationRecipe, ModelRecipe
from fedloom.state import State
from fedloom.tasks import LossPart, Task, tasks

CLIENTS = ("north", "east", "south", "west")
SIZE = 300

Fault = Callable[[bytes], Reply | bytes]


class Vector(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.w = nn.Parameter(torch.zeros(SIZE))


class Targets(list):
    """A client's rows: vectors that it would like the model to be."""

    truncated = 3


@tasks.register("pull")
@dataclass(frozen=True)
class Pull(Task):
    """Half the squared distance to the mean target of the batch."""

    def load(self, path: Path) -> Targets:
        stream = torch.Generator().manual_seed(CLIENTS.index(path.name))
        return Targets(torch.randn(6, SIZE, generator=stream))

    def losses(self, model, rows, indices):
        target = torch.stack([rows[i] for i in indices]).mean(0)
        loss = (model.w - target).square().sum() / 2
        yield LossPart(loss, len(indices), lambda: loss[None])

    @torch.no_grad()
    def evaluate(self, model, rows, groups, batch_size):
        return {"loss": sum(float((model.w - row).square().sum()) for row in rows), "terms": len(rows), "rows": len(rows)}


def vector_bench() -> Bench:
    """A bench of its own with a vector on it."""
    model = Vector()
    recipe = ModelRecipe(id="vector", adapter=None)
    return Bench(
        model, FlatParameters(model), PictureEncoder(), ModelKind(), torch.device("cpu"), recipe, "0" * 64, "vector", SIZE, "vector", None
    )


def vector_terms(algorithm: str, codec: str) -> Agreed:
    return Agreed(
        {
            "version": 1,
            "task": {"kind": "pull", "batch_size": 2, "steps": 3, "learning_rate": 0.1},
            "algorithm": {"name": algorithm},
            "codec": codec,
            "seed": 7,
            "evaluation": {"batch_size": 4, "max_rows": None},
            "prepare": [],
        }
    )


@dataclass
class VectorEngine:
    """Asks the sites under `folder`. `faults`: (client, round) -> what happens to its reply in the first, second ... try."""

    folder: Path
    agreed: Agreed
    names: tuple[str, ...] = CLIENTS
    faults: dict[tuple[str, int], list[Fault | None]] = field(default_factory=dict)
    order: Callable[[list[Reply]], Iterable[Reply]] = iter
    received: list[tuple[str, Message]] = field(default_factory=list)

    @property
    def envelope(self) -> Envelope:
        return Envelope(agreed=self.agreed.sha256)

    def clients(self):
        return self.names

    def dispatch(self, assignments, deadline):
        yield from self.order([self._reply(assignment) for assignment in assignments])

    def late_replies(self, round_number):
        return iter(())

    def site_folder(self, client: str) -> SiteFolder:
        return SiteFolder(self.folder / "sites" / client)

    def memory(self, client: str):
        return self.site_folder(client).memory(self.envelope, client)

    def _reply(self, assignment: Assignment) -> Reply:
        client, folder = assignment.client, self.site_folder(assignment.client)
        folder.keep_terms(self.envelope, self.agreed)
        folder.keep_rows(self.envelope, SiteRows(client, 10 + len(client), client, tuple(range(6))))
        self.received.append((client, decode(assignment.message, Expected(assignment.kind, assignment.round, client, self.envelope))))
        fault = next(iter(self.faults.get((client, assignment.round), ())), None)
        if self.faults.get((client, assignment.round)):
            self.faults[client, assignment.round].pop(0)
        message = Site(client, folder.path, vector_bench()).answer(assignment.message)
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
    agreed = vector_terms(algorithm, recipe.codec)
    return Federation(
        recipe,
        agreed,
        VectorEngine(path, agreed, names, faults or {}, order),
        RunFolder(path),
        evaluate_every=evaluate_every,
        measured=names if evaluate_every else (),
        observer=observer or Observer(),
    )


def trained(path: Path, **arguments: object) -> State:
    """The state that the federation of vectors ends in."""
    return run_rounds(federation(path, **arguments), trained_state(Vector()))
