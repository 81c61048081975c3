"""Columns -> conversations: which column of a source is the instruction, the response, the whole conversation, or a preferred answer."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import partial
from typing import Any

from fedloom.data.columns import Columns, columns_of, shown
from fedloom.data.conversations import kind_of, read_conversation, read_history
from fedloom.data.pair_columns import read_pair
from fedloom.data.record_sequence import Records, checked_records
from fedloom.data.records import Conversation, Provenance, Turn
from fedloom.data.rows import Row, other_fields
from fedloom.errors import DataError, RecipeError
from fedloom.recipe import FieldsRecipe
from fedloom.registry import nearest

ALTERNATIVES = "alternatives"

LAYOUTS = tuple(
    FieldsRecipe.model_validate(layout)
    for layout in (
        {"prompt": "prompt", "chosen": "chosen", "rejected": "rejected"},
        {"prompt": "conversations", "chosen": "chosen", "rejected": "rejected"},
        {"prompt": "question", "chosen": "chosen", "rejected": "rejected"},
        {"prompt": "instruction", "chosen": "chosen", "rejected": "rejected"},
        {"chosen": "chosen", "rejected": "rejected"},
        {"messages": "messages"},
        {"messages": "conversations"},
        {"instruction": "instruction", "response": "output"},
        {"instruction": "instruction", "response": "response"},
        {"instruction": "question", "response": "answer"},
        {"instruction": "question", "response": "response"},
        {"instruction": "problem", "response": "solution"},
        {"instruction": "prompt", "response": "response"},
        {"instruction": "prompt", "response": "completion"},
        {"instruction": "input", "response": "output"},
    )
)
"""The layouts of well-known data sets, the more specific ones first."""

INPUTS = ("input", "context")
SYSTEMS = ("system", "system_prompt")
HISTORY = "history"
"""Columns of well-known data sets that stand beside an instruction: what it refers to, the system prompt, and earlier turns."""


def read_conversations(rows: Sequence[Row], fields: FieldsRecipe, provenance: Provenance) -> Records:
    """One conversation per row, read by `fields`, or by the first known layout whose columns are there.

    `input` is joined to the instruction by a space, and the turns of `history` stand before it. Turns after the last answer are dropped:
    there is nothing in them to learn. Of a preference pair the chosen answer is the response, and the other one `rejected`. A list in a
    column `alternatives` holds further right answers; every other column becomes a field of the conversation, as text, and `unread` of the
    records names those that hold text. Raises DataError with file and line for a row that does not fit, RecipeError for `data.fields` that
    do not.
    """
    found = columns_of(rows)
    fields = _resolved(fields, found)
    used = {column for column in fields.model_dump().values() if column} | {ALTERNATIVES}
    records = checked_records(Conversation.kind, rows, partial(_conversation, fields, used, provenance), provenance)
    in_turns = (f"{column}.{key}" for column, key in found.beside if column in used)
    records.unread = (*(column for column in found.texts if column not in used), *in_turns)
    records.unanswered = found.unanswered.get(fields.messages or "", 0)
    return records


def _resolved(fields: FieldsRecipe, found: Columns) -> FieldsRecipe:
    """`fields` with what is null recognised from the columns `found`."""
    pair = {"instruction": fields.instruction, "response": fields.response}
    answers = {"chosen": fields.chosen, "rejected": fields.rejected}
    if fields.messages and (any(pair.values()) or fields.input or fields.history):
        raise RecipeError("data.fields: messages excludes instruction, input, history and response; set one or the other")
    if (any(answers.values()) or fields.prompt) and (any(pair.values()) or fields.messages):
        raise RecipeError("data.fields: prompt, chosen and rejected exclude instruction, response and messages; set one or the other")
    for together, asked in ((pair, None), (answers, fields.prompt)):
        missing = [key for key, column in together.items() if not column]
        if missing and (asked or len(missing) < len(together)):
            raise RecipeError(f"data.fields.{missing[0]}: set it too; {' and '.join(together)} belong together")
    beside = {"input": fields.input, "history": fields.history, "system": fields.system}
    for key, column in {**beside, "prompt": fields.prompt, **answers}.items():
        if column and column not in found.names:
            raise DataError(f"data.fields.{key}: no row has a column '{column}'{nearest(column, found.names)}")
    if any(answers.values()) and not fields.prompt and (fields.input or fields.history):
        raise RecipeError("data.fields.prompt: set it too; input and history are joined to a prompt")
    if fields.messages or all(pair.values()) or all(answers.values()):
        return fields
    for layout in LAYOUTS:
        needed = [column for column in layout.model_dump().values() if column]
        asked = layout.instruction or layout.prompt
        if all(column in found.names for column in needed) and not ((fields.input or fields.history) and not asked):
            known = _beside(found, needed) if asked and asked not in found.lists else {}
            known["system"] = _first(SYSTEMS, found.plain, needed)
            return layout.model_copy(update={**known, **{key: column for key, column in beside.items() if column}})
    names = ", ".join(map(shown, found.names)) or "none"
    if "path" in found.names or "pixels" in found.names:
        raise DataError(
            f"data.source: has the columns {names}; a table of pictures is read as pictures:FILE, one of documents as documents:FILE"
        )
    raise DataError(
        f"data.fields: cannot tell instruction and response among the columns {names}; set data.fields.instruction and .response"
    )


def _beside(found: Columns, needed: Sequence[str]) -> dict[str, str | None]:
    """The columns of an input and of earlier turns, where the source has them."""
    return {"input": _first(INPUTS, found.plain, needed), "history": HISTORY if HISTORY in found.lists and HISTORY not in needed else None}


def _first(names: Sequence[str], found: Iterable[str], taken: Sequence[str]) -> str | None:
    return next((name for name in names if name in found and name not in taken), None)


def _conversation(fields: FieldsRecipe, used: Iterable[str], provenance: Provenance, row: Row) -> Conversation:
    rejected, joined = None, _optional_text(row, fields.input)
    if fields.chosen and fields.rejected:
        turns, chosen, rejected = read_pair(row, fields.prompt, fields.chosen, fields.rejected, joined)
        turns = [*turns, Turn("assistant", chosen)]
    elif fields.messages:
        turns = read_conversation(_column(row, fields.messages, "messages"), row.where)
    else:
        instruction = _text(row, fields.instruction, "instruction")
        response = _text(row, fields.response, "response")
        turns = [Turn("user", f"{instruction} {joined}" if joined else instruction), Turn("assistant", response)]
    earlier = read_history(row.columns.get(fields.history), f"{row.where}: column '{fields.history}' (history)") if fields.history else []
    first = 1 if turns[0].role == "system" else 0
    turns[first:first] = earlier
    system = _optional_text(row, fields.system)
    if system and turns[0].role != "system":
        turns.insert(0, Turn("system", system))
    elif system and turns[0].content.strip() != system.strip():
        raise DataError(
            f"{row.where}: column '{fields.system}' (system) is not the system turn of its conversation; mend or remove the row"
        )
    return Conversation(tuple(turns), provenance, other_fields(row, used), _alternatives(row), rejected)


def _column(row: Row, column: str | None, key: str) -> Any:
    assert column is not None
    if column not in row.columns:
        raise DataError(f"{row.where}: has no column '{column}' (data.fields.{key}){nearest(column, row.columns)}")
    return row.columns[column]


def _text(row: Row, column: str | None, key: str) -> str:
    value = _column(row, column, key)
    if not isinstance(value, str):
        raise DataError(f"{row.where}: column '{column}' ({key}) should be text, not {kind_of(value)}")
    if not value.strip():
        raise DataError(f"{row.where}: column '{column}' ({key}) is empty; fill it or remove the row")
    return value


def _optional_text(row: Row, column: str | None) -> str:
    value = row.columns.get(column) if column else None
    if isinstance(value, int | float) and not isinstance(value, bool):
        value = str(value)
    if value is not None and not isinstance(value, str):
        raise DataError(f"{row.where}: column '{column}' should be text, not {kind_of(value)}")
    return value if value and value.strip() else ""


def _alternatives(row: Row) -> tuple[str, ...]:
    value = row.columns.get(ALTERNATIVES)
    if value is None:
        return ()
    if not isinstance(value, list) or not all(isinstance(answer, str) for answer in value):
        raise DataError(f"{row.where}: column '{ALTERNATIVES}' should be a list of further right answers, each text")
    return tuple(value)
