"""A party: one client's side of a round. It takes the bytes of an assignment, works on rows that never leave it, and gives bytes back."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import torch
from torch import nn

from fedloom.algorithms import Algorithm
from fedloom.errors import FedloomError
from fedloom.federation.codec import codecs, with_feedback
from fedloom.federation.memory import ClientMemory
from fedloom.federation.messages import Expected, Message, decode, encode
from fedloom.hooks import Behaviour
from fedloom.models.flat import FlatParameters
from fedloom.state import State
from fedloom.streams import stream_seed, torch_stream
from fedloom.tasks.base import Rows, Task
from fedloom.tasks.training import draw_batches, train

REFERENCE = "reference"
RESIDUAL = "residual/"
OPTIMIZER = "optimizer"


@dataclass(frozen=True)
class ClientRows:
    """Where a client's encoded rows are. `groups` tells which held-out rows are answers to the same question.

    A `malicious` client, in a red-team run, changes its update as the recipe's behaviour says.
    """

    name: str
    train: Path
    examples: int
    held_out: Path | None
    groups: tuple[int, ...]
    malicious: bool = False


@dataclass(frozen=True)
class Terms:
    """What the parties of a federation have agreed on before the first round."""

    task: Task
    algorithm: Algorithm
    codec: str
    seed: int
    evaluation_batch: int
    behaviour: Behaviour = field(default_factory=Behaviour)


class Party:
    """A client at work: `model` and its flat `parameters` are lent to one client at a time."""

    def __init__(self, model: nn.Module, parameters: FlatParameters, terms: Terms, rows: ClientRows, folder: Path) -> None:
        self.model = model
        self.parameters = parameters
        self.terms = terms
        self.rows = rows
        self.memory = ClientMemory(rows.name, folder)

    def answer(self, kind: str, round_number: int, data: bytes, deadline: float | None) -> bytes:
        """The reply to an assignment of `kind` train or evaluate. `deadline` is in time.monotonic() seconds."""
        message = decode(data, Expected(kind, round_number, self.rows.name))
        if kind == "evaluate":
            return self._evaluate(message)
        return self._train(message, lambda: deadline is not None and time.monotonic() > deadline)

    def _train(self, message: Message, late: Callable[[], bool]) -> bytes:
        terms, number, client = self.terms, message.round, self.rows.name
        rows = terms.task.load(self.rows.train)
        used = int(message.report.get("used", number - 1))
        memory = self.memory.before(min(used + 1, number))
        start = self._start(message, memory)
        received = {name: state for name, state in message.sections.items() if name not in ("state", "difference")}
        own = {name: state for name, state in memory.items() if name not in (REFERENCE, OPTIMIZER) and not name.startswith(RESIDUAL)}
        device = self.parameters.weights.device
        half = terms.algorithm.local_training(start.to(device), _on(device, received), _on(device, own), client)
        rate = float(message.report["learning_rate"])
        self.parameters.load(half.start)
        report = self._loss_before(rows)
        batches = draw_batches(len(rows), terms.task, torch_stream(terms.seed, "batches", number, client))
        dropout = stream_seed(terms.seed, "dropout", number, client)
        done = train(self.model, self.parameters, terms.task, rows, batches, rate, half, dropout, late, memory.get(OPTIMIZER))
        result = half.finish(self.parameters.state().to(device), done.steps, rate)
        sections = _on("cpu", {"update": result.update, **result.extras})
        if self.rows.malicious:
            stream = torch_stream(terms.seed, "behaviour", number, client)
            sections["update"] = terms.behaviour.change_update(sections["update"], stream)
        coded, residuals = {}, {}
        if terms.codec != "fp32":
            for name, state in sections.items():
                coded[name], residuals[RESIDUAL + name] = with_feedback(codecs.get(terms.codec), state, memory.get(RESIDUAL + name))
            residuals[REFERENCE] = start
        moments = {OPTIMIZER: State.of(done.moments)} if terms.task.keep_optimizer and done.moments else {}
        self.memory.save(number, {**_on("cpu", result.memory), **residuals, **moments}, used)
        report |= {
            "examples": self.rows.examples,
            "loss": done.loss,
            "first_loss": done.first_loss,
            "steps": done.steps,
            "tokens": done.tokens,
            "seconds": done.seconds,
            "truncated_share": rows.truncated / len(rows),
        }
        return encode(Message("update", number, client, sections, report), terms.codec, coded)

    def _start(self, message: Message, memory: dict[str, State]) -> State:
        """The global state: sent whole, or as the difference to what this client had in the round before."""
        if "state" in message.sections:
            return message.sections["state"]
        if REFERENCE not in memory:
            raise FedloomError("the server sent a difference, but this client has lost the state it refers to")
        return memory[REFERENCE] + message.sections["difference"]

    def _loss_before(self, rows: Rows) -> dict[str, float | int | str]:
        """The mean loss over all rows at the weights received, for the algorithms that weigh clients by it."""
        if "loss_before" not in self.terms.algorithm.needs_report:
            return {}
        measures = self.terms.task.evaluate(self.model, rows, range(len(rows)), self.terms.evaluation_batch)
        return {"loss_before": measures.loss / max(measures.tokens, 1)}

    def _evaluate(self, message: Message) -> bytes:
        self.parameters.load(message.sections["state"])
        report: dict[str, float | int | str] = {"loss": 0.0, "tokens": 0, "exact": 0, "rows": 0}
        if self.rows.held_out is not None:
            held_out = self.terms.task.load(self.rows.held_out)
            measures = self.terms.task.evaluate(self.model, held_out, self.rows.groups, self.terms.evaluation_batch)
            report = {"loss": measures.loss, "tokens": measures.tokens, "exact": measures.exact, "rows": measures.rows}
        return encode(Message("measures", message.round, self.rows.name, {}, report))


def _on(device: torch.device | str, states: Mapping[str, State]) -> dict[str, State]:
    return {name: state.to(device) for name, state in states.items()}
