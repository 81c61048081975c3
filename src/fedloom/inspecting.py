"""A look at a recipe's data before anything is trained: who holds what, and what becomes of the rows when they are encoded."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from fedloom.data.clients import FederatedData
from fedloom.data.measured_rows import federated_data
from fedloom.data.row_notes import row_notes, source_notes
from fedloom.data.summary import shown_field, summary
from fedloom.errors import DataError
from fedloom.hooks import prepare_steps
from fedloom.models.encoders import Encoder
from fedloom.models.kinds import kinds
from fedloom.recipe import Recipe
from fedloom.tasks import Task, tasks
from fedloom.tasks.encoding import encode_client


@dataclass(frozen=True)
class Inspection:
    """`rows` has what each client holds, as the manifest of a run has it; `field` is the column whose values are counted there."""

    data: FederatedData
    rows: list[dict[str, Any]]
    field: str | None
    notes: list[str]


def inspect(recipe: Recipe) -> Inspection:
    """What the clients of `recipe` hold, with the rows that a run would cut or leave out, where its model is on this machine.

    Raises DataError or RecipeError for data that cannot be read. Rows that the task cannot take are a note.
    """
    data = federated_data(recipe)
    field = shown_field(recipe.data, data.clients)
    rows = summary(data.clients, field)
    task = tasks.get(recipe.task.kind)(**recipe.task.settings)
    encoder = kinds.get(task.model_kind)().encoder(recipe.model, recipe.data)
    if encoder is None:
        why = f"the model {recipe.model.id} is not on this machine yet"
    elif recipe.prepare:
        why = "prepare steps turn these rows into others"
        _preview(recipe, data, encoder, rows)
    elif data.kind != task.record:
        why = f"these rows are {data.kind}s, and {recipe.task.kind} takes {task.record}s"
    else:
        why = _encode(task, data, encoder, rows)
    notes = [*source_notes(data, recipe), *row_notes(rows)]
    return Inspection(data, rows, field, [*notes, f"rows that are cut or left out are not counted: {why}"] if why else notes)


def _preview(recipe: Recipe, data: FederatedData, encoder: Encoder, rows: list[dict[str, Any]]) -> None:
    """Add to `rows` what the first prepare step counts of each client's rows."""
    first = prepare_steps.get(recipe.prepare[0].kind)(**recipe.prepare[0].settings)
    for row, client in zip(rows, data.clients, strict=True):
        row |= first.preview(client.train, encoder)


def _encode(task: Task, data: FederatedData, encoder: Encoder, rows: list[dict[str, Any]]) -> str:
    """Add to `rows` what becomes of each client's rows when they are encoded; gives what is wrong with the first that cannot be."""
    for row, client in zip(rows, data.clients, strict=True):
        try:
            row |= encode_client(task, client.train, client.held_out, encoder).counts
        except DataError as error:
            return f"client '{client.name}': {error}"
    return ""
