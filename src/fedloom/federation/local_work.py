"""A site's work on its encoded rows: one round of training, or the sums over its held-out rows."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from fedloom.agreed import Agreed
from fedloom.errors import FedloomError, PartError, RefusedMessageError
from fedloom.federation.codec import codecs, with_feedback
from fedloom.federation.membership_work import MEMBERSHIP, told_apart
from fedloom.federation.memory import ClientMemory
from fedloom.federation.messages import Message, encode
from fedloom.federation.private_work import PrivateWork
from fedloom.federation.site_folder import SiteRows
from fedloom.models.bench import Bench
from fedloom.registry import gave_numbers
from fedloom.state import State
from fedloom.streams import stream_seed, torch_stream
from fedloom.tasks import Rows, Task
from fedloom.tasks.gradients import Gradients, PlainGradients, Step
from fedloom.tasks.training import Trained, train

REFERENCE = "reference"
RESIDUAL = "residual/"
OPTIMIZER = "optimizer"
LOST = (
    "this client has lost what it kept of round {}: FEDLOOM_HOME is another folder than before, a part of it was removed, or a copy of this"
    " run went on; put it back, or start a new run"
)


@dataclass(frozen=True)
class LocalWork:
    """The client `client` at the bench, under the terms `agreed`, with its rows and its memory."""

    client: str
    bench: Bench
    agreed: Agreed
    rows: SiteRows
    memory: ClientMemory
    private: PrivateWork | None = None

    def train(self, message: Message) -> bytes:
        """The update after the steps of one round. The report of `message` holds learning_rate, and deadline in seconds from now."""
        agreed, parameters, number, client = self.agreed, self.bench.parameters, message.round, self.client
        task, rows = agreed.task, agreed.task.load(Path(self.rows.train))
        if number < 1:
            raise RefusedMessageError(f"its round is {number}; the first one is 1")
        end = time.monotonic() + message.report["deadline"] if "deadline" in message.report else None
        used = int(message.report.get("used", number - 1))
        if message.report.get("used") and self.memory.lost(used):
            raise FedloomError(LOST.format(used))
        memory = self.memory.before(min(used + 1, number))
        start = _start(message, memory)
        received = {name: state for name, state in message.sections.items() if name not in ("state", "difference")}
        own = {name: state for name, state in memory.items() if name not in (REFERENCE, OPTIMIZER) and not name.startswith(RESIDUAL)}
        device = parameters.weights.device
        half = agreed.algorithm.local_training(start.to(device), _on(device, received), _on(device, own), client)
        rate = message.number("learning_rate")
        parameters.load(half.start)
        report = self._loss_before(rows)
        random = self.private.charge(message, memory) if self.private else None
        gradients, steps = self._gradients(len(rows), task, number, random)
        dropout = stream_seed(agreed.seed, "dropout", number, client)
        done = train(
            self.bench.model,
            parameters,
            task,
            rows,
            steps,
            rate,
            half,
            dropout,
            lambda: end is not None and time.monotonic() > end,
            memory.get(OPTIMIZER),
            gradients,
        )
        result = half.finish(parameters.state().to(device), done.steps, rate)
        if result.memory and not own and message.report.get("used"):
            raise FedloomError(LOST.format(used))
        sections = _on("cpu", {"update": result.update, **result.extras})
        if self.private and random and self.private.terms.unit == "client":
            sections["update"], told = self.private.released(sections["update"], message, random)
            report |= told
        for name, state in sections.items():
            if not bool(torch.isfinite(state.flat).all()):
                raise FedloomError(f"the {name} of this client is not finite after its training; lower task.learning_rate")
        coded, residuals = {}, {}
        if agreed.codec != "fp32":
            for name, state in sections.items():
                coded[name], residuals[RESIDUAL + name] = with_feedback(codecs.get(agreed.codec), state, memory.get(RESIDUAL + name))
            residuals[REFERENCE] = start
        moments = {OPTIMIZER: State.of(done.moments)} if task.keep_optimizer and done.moments else {}
        self.memory.save(number, {**_on("cpu", result.memory), **residuals, **moments}, used)
        report |= {"steps": done.steps} if self.private else self._told(done, rows)
        return encode(Message("update", number, client, sections, report, message.envelope), agreed.codec, coded)

    def _gradients(self, rows: int, task: Task, number: int, random: np.random.Generator | None) -> tuple[Gradients, Sequence[Step]]:
        """Where the gradients of round `number` come from, and the rows of its steps."""
        if self.private and random and self.private.terms.unit == "row":
            private = self.private.gradients(random)
            return private, private.draw(rows, task)
        plain, stream = PlainGradients(), torch_stream(self.agreed.seed, "batches", number, self.client)
        return plain, plain.draw(rows, task, stream, self.rows.order, self.rows.generated)

    def _told(self, done: Trained, rows: Rows) -> dict[str, float]:
        """What the site says of its training where its rows have no formal privacy."""
        return {
            "examples": self.rows.examples if self.rows.weight is None else self.rows.weight,
            "loss": done.loss,
            "first_loss": done.first_loss,
            "steps": done.steps,
            "tokens": done.tokens,
            "seconds": done.seconds,
            "truncated_share": rows.truncated / len(rows),
        }

    def evaluate(self, message: Message) -> bytes:
        """The task's sums over the held-out rows with the state of `message` on; or, where its report asks for it, how well rows that were
        trained on are told from these."""
        task, algorithm, state = self.agreed.task, self.agreed.algorithm, message.section("state")
        if algorithm.measured_with_memory:
            state = algorithm.at_client(state, self.memory.before(message.round + 1))
        if MEMBERSHIP in message.report:
            found = told_apart(self.client, self.bench, self.agreed, self.rows, (state, message.section("reference")))
            return encode(Message("measures", message.round, self.client, {}, found, message.envelope))
        self.bench.parameters.load(state)
        sums = task.no_sums()
        if self.rows.held_out is not None:
            held_out = task.load(Path(self.rows.held_out))
            who = f"{self.agreed.content['task']['kind']}.evaluate"
            given = task.evaluate(self.bench.model, held_out, self.rows.groups, self.agreed.evaluation_batch)
            sums = gave_numbers(given, f"{who}: its result")
            if set(sums) != set(task.sum_names):
                raise PartError(f"{who} should give the sums {', '.join(task.sum_names)}")
        return encode(Message("measures", message.round, self.client, {}, sums, message.envelope))

    def _loss_before(self, rows: Rows) -> dict[str, float]:
        """The mean loss over all rows at the weights received, for the algorithms that weigh clients by it."""
        task = self.agreed.task
        if "loss_before" not in self.agreed.algorithm.needs_report:
            return {}
        return {"loss_before": task.mean_loss(task.evaluate(self.bench.model, rows, range(len(rows)), self.agreed.evaluation_batch))}


def _start(message: Message, memory: Mapping[str, State]) -> State:
    """The global state: sent whole, or as the difference to what this client had in the round before."""
    if "difference" not in message.sections:
        return message.section("state")
    if REFERENCE not in memory:
        raise FedloomError("the server sent a difference, but this client has lost the state it refers to")
    return memory[REFERENCE] + message.sections["difference"]


def _on(device: torch.device | str, states: Mapping[str, State]) -> dict[str, State]:
    return {name: state.to(device) for name, state in states.items()}
