"""A client's work as one self-contained piece, and the bench that does it: one model, lent to one client after another."""

from __future__ import annotations

import time
import traceback
from dataclasses import dataclass
from pathlib import Path

from torch import nn

from fedloom.algorithms import algorithms
from fedloom.errors import FedloomError
from fedloom.federation.party import ClientRows, Party, Terms
from fedloom.hooks import Behaviour, behaviours
from fedloom.models.flat import FlatParameters
from fedloom.models.load import load_model
from fedloom.models.trainable import make_trainable
from fedloom.recipe import HookRecipe, Recipe
from fedloom.tasks import tasks


@dataclass(frozen=True)
class Job:
    """An assignment with all that the client needs to do it. `folder` is the client's own, for what it keeps between rounds."""

    recipe: Recipe
    rows: ClientRows
    folder: Path
    kind: str
    round: int
    message: bytes
    deadline: float


@dataclass(frozen=True)
class Outcome:
    """The bytes of the client's reply, or why there is none."""

    message: bytes | None
    error: str | None = None


def work(job: Job) -> float:
    """How long a job takes beside others, from the sizes of its rows: all of them are measured, a fixed number is trained on."""
    if job.kind == "evaluate":
        return job.rows.held_out.stat().st_size if job.rows.held_out else 0.0
    task = terms_of(job.recipe).task
    return job.rows.train.stat().st_size / job.rows.examples * task.batch_size * task.accumulation * task.steps


def terms_of(recipe: Recipe) -> Terms:
    """What the parties agree on, built from the recipe."""
    task = tasks.get(recipe.task.kind)(**recipe.task.settings)
    algorithm = algorithms.get(recipe.algorithm.name)(**recipe.algorithm.settings)
    return Terms(task, algorithm, recipe.federation.codec, recipe.seed, recipe.evaluate.batch_size, behaviour_of(recipe))


def behaviour_of(recipe: Recipe) -> Behaviour:
    """What the malicious clients of a recipe do; nothing where there are none."""
    return made_behaviour(recipe.clients.behaviour)


def made_behaviour(chosen: HookRecipe | None) -> Behaviour:
    made: Behaviour = behaviours.get(chosen.kind)(**chosen.settings) if chosen else Behaviour()
    return made


def trained_model(recipe: Recipe) -> nn.Module:
    """A model of its own for a worker: that of the recipe, with what the recipe trains on it."""
    head = terms_of(recipe).task.head
    model: nn.Module = make_trainable(load_model(recipe.model, head).model, recipe.model.adapter, recipe.seed)
    return model


class Bench:
    """A model with its trained parameters laid flat; clients take turns at it, nothing is copied per client."""

    def __init__(self, model: nn.Module) -> None:
        self.model = model
        self.parameters = FlatParameters(model)

    def do(self, job: Job) -> Outcome:
        """Let the client of `job` work. A failure is an outcome; its reason holds no text of the client's data."""
        party = Party(self.model, self.parameters, terms_of(job.recipe), job.rows, job.folder)
        try:
            return Outcome(party.answer(job.kind, job.round, job.message, time.monotonic() + job.deadline))
        except FedloomError as error:
            return Outcome(None, str(error))
        except Exception as error:  # noqa: BLE001 - one client's failure, of whatever kind, is the round's to deal with
            place = traceback.extract_tb(error.__traceback__)[-1]
            return Outcome(None, f"{type(error).__name__} at {Path(place.filename).name}:{place.lineno}")
