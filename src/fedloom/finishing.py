"""The finish hook, and the sample answers that a report shows."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import torch

from fedloom.data.records import Conversation
from fedloom.errors import FedloomError, PartError
from fedloom.federation.opening import samples
from fedloom.federation.rounds import Federation, evaluate
from fedloom.federation.run_folder import RunFolder
from fedloom.files import write_atomic
from fedloom.hooks import Finished, FinishStep, ServerSide, finish_steps
from fedloom.recipe import Recipe
from fedloom.registry import gave, gave_numbers
from fedloom.state import State

SYNTHETIC, REJECTED = "synthetic.jsonl", "rejected.jsonl"
"""Files of made-up rows: those that a finish step trained on, and those that it did not."""


def made_steps(recipe: Recipe) -> list[FinishStep]:
    return [finish_steps.get(step.kind)(**step.settings) for step in recipe.finish]


def needs_updates(recipe: Recipe) -> bool:
    """Whether a finish step works with each client's own model of the last round."""
    return any(step.needs_updates for step in made_steps(recipe))


def take_finish_steps(
    recipe: Recipe, steps: Sequence[FinishStep], server: ServerSide, federation: Federation, state: State
) -> tuple[State, FedloomError | None]:
    """Take every step in turn, up to one that fails, and measure the state that they leave. Gives that state and the failure.

    Rows that they made up are written into the run's folder.
    """
    failure, taken = None, 0
    made_up: dict[str, list[Conversation]] = {SYNTHETIC: [], REJECTED: []}
    for number, (chosen, step) in enumerate(zip(recipe.finish, steps, strict=True)):
        try:
            done = _checked(step.apply(state, server), f"finish.{number}: {chosen.kind}.apply", step, state)
        except FedloomError as error:
            failure = error
            break
        state, taken = done.state, taken + 1
        for name, rows in ((SYNTHETIC, done.rows), (REJECTED, done.rejected)):
            made_up[name] += rows
            if made_up[name]:
                _write_rows(federation.folder.path / name, made_up[name])
        for name, value in done.measured.items():
            federation.metric(recipe.federation.rounds, None, f"finish/{chosen.kind}/{name}", value)
    if taken:
        evaluate(federation, state, recipe.federation.rounds, "finished")
    return state, failure


def _checked(done: Any, who: str, step: FinishStep, before: State) -> Finished:
    """What a finish step gave. Raises PartError when it is not what the base class says."""
    gave(done, Finished, f"{who}: its result")
    state = gave(done.state, State, f"{who}: Finished.state")
    if difference := before.layout.difference(state.layout):
        raise PartError(f"{who} should give a state with the tensors that it got; {difference}")
    if not torch.isfinite(state.flat).all():
        raise PartError(f"{who} gave a state with values that are not finite")
    measured = gave_numbers(done.measured, f"{who}: Finished.measured")
    for name, value in measured.items():
        if name not in {measure.name for measure in step.measures}:
            raise PartError(f"{who} measured '{name}', which its `measures` do not declare")
        if not math.isfinite(value):
            raise PartError(f"{who} measured '{name}', and the value is not finite")
    for row in (*done.rows, *done.rejected):
        if not row.may_leave:
            raise PartError(f"{who} gave a {row.provenance} row to hand out, which may not leave its client")
    return replace(done, state=state, measured=measured)


def _write_rows(path: Path, rows: Sequence[Conversation]) -> None:
    lines = [{"messages": [vars(turn) for turn in row.turns], "provenance": str(row.provenance), **row.fields} for row in rows]
    write_atomic(path, "".join(json.dumps(line, ensure_ascii=False) + "\n" for line in lines))


def keep_samples(recipe: Recipe, folder: RunFolder, federation: Federation, before: State, after: State, said: bool = True) -> None:
    """Write the clients' answers to public held-out rows, of the models `before` and `after`, pairs that they have written from public
    documents, and pictures that they have made beside public ones, into the run's folder; with `said` false no answers, since the model
    could say text of a private row."""
    answered = {}
    if recipe.evaluate.samples and not said:
        federation.observer.note("no sample answers: the model was trained on private rows, and could say them; ask it with `fedloom chat`")
    if recipe.evaluate.samples:
        answered = samples(federation, before, after, recipe.evaluate.samples, recipe.evaluate.max_new_tokens)
    for name, kind in (("samples.json", "items"), ("pairs.json", "pairs"), ("pictures.json", "pictures")):
        found = [
            {"client": client, **asdict(one)} for client, body in answered.items() for one in getattr(body, kind) if said or kind != "items"
        ]
        if found or kind == "items":
            write_atomic(folder.path / name, json.dumps(found, indent=2, ensure_ascii=False))
