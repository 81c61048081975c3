"""A look at a recipe's data before anything is trained: who holds what, and what becomes of the rows when they are encoded."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from fedloom.data.clients import FederatedData
from fedloom.data.measured_rows import federated_data
from fedloom.data.row_notes import row_notes, source_notes
from fedloom.data.summary import shown_field, summary
from fedloom.errors import DataError
from fedloom.models.kinds import kinds
from fedloom.recipe import Recipe
from fedloom.tasks import tasks
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
    rows, why = summary(data.clients, field), None
    task = tasks.get(recipe.task.kind)(**recipe.task.settings)
    if recipe.prepare or data.kind != task.record:
        why = "prepare steps, or another task, turn these rows into others"
    elif (encoder := kinds.get(task.model_kind)().encoder(recipe.model, recipe.data)) is None:
        why = f"the model {recipe.model.id} is not on this machine yet"
    else:
        for number, client in enumerate(data.clients):
            try:
                rows[number] |= encode_client(task, client.train, client.held_out, encoder).counts
            except DataError as error:
                why = f"client '{client.name}': {error}"
                break
    notes = [*source_notes(data, recipe), *row_notes(rows)]
    return Inspection(data, rows, field, [*notes, f"rows that are cut or left out are not counted: {why}"] if why else notes)
