"""Columns -> a preference pair: what was asked, the answer that was preferred and the one that was not.

Three layouts are read: a prompt (text, or turns) with two answers; two whole conversations; two whole transcripts of the form
"\\n\\nHuman: ...\\n\\nAssistant: ..." (HH-RLHF). In two whole conversations
or transcripts, what comes before the last answer is the prompt, and it has to be the same.
"""

from __future__ import annotations

import re
from typing import Any

from fedloom.data.conversations import kind_of, read_turns
from fedloom.data.records import Turn
from fedloom.data.rows import Row
from fedloom.errors import DataError

ANSWER = "\n\nAssistant:"
SPEAKERS = {"Human": "user", "Assistant": "assistant"}


def read_pair(row: Row, prompt: str | None, chosen: str, rejected: str) -> tuple[list[Turn], str, str]:
    """The turns that are asked, the chosen answer and the rejected one, from the columns of these names.

    `prompt` null: both answers come with what was asked. Raises DataError with file and line for a row that does not fit.
    """
    before_chosen, preferred = _answer(row, chosen, "chosen", transcript=prompt is None)
    before_rejected, other = _answer(row, rejected, "rejected", transcript=prompt is None)
    if prompt:
        asked = _prompt(row.columns.get(prompt), f"{row.where}: column '{prompt}' (prompt)")
    elif before_chosen != before_rejected:
        raise DataError(f"{row.where}: '{chosen}' and '{rejected}' answer different prompts; mend or remove the row")
    else:
        asked = before_chosen
    if not asked or asked[-1].role != "user":
        raise DataError(f"{row.where}: what is asked should end with a user turn; mend or remove the row")
    return asked, preferred, other


def _prompt(value: Any, where: str) -> list[Turn]:
    if isinstance(value, list):
        return read_turns(value, where)
    if not isinstance(value, str):
        raise DataError(f"{where} should be text or a list of turns, not {kind_of(value)}")
    if not value.strip():
        raise DataError(f"{where} is empty; fill it or remove the row")
    return [Turn("user", value)]


def _answer(row: Row, column: str, key: str, transcript: bool) -> tuple[list[Turn], str]:
    """The turns before the last answer in `column`, none where it holds the answer alone, and that answer."""
    where, value = f"{row.where}: column '{column}' ({key})", row.columns.get(column)
    if isinstance(value, dict | list):
        turns = read_turns(value if isinstance(value, list) else [value], where)
        if not turns or turns[-1].role != "assistant":
            raise DataError(f"{where} should end with an assistant turn; mend or remove the row")
        return turns[:-1], turns[-1].content
    if not isinstance(value, str):
        raise DataError(f"{where} should be text, a turn or a list of turns, not {kind_of(value)}")
    before, answer = _transcript(value, where) if transcript else ([], value)
    if not answer.strip():
        raise DataError(f"{where} has no answer; fill it or remove the row")
    return before, answer


def _transcript(text: str, where: str) -> tuple[list[Turn], str]:
    before, mark, answer = text.rpartition(ANSWER)
    opening, *said = re.split(r"\n\n(Human|Assistant):", "\n\n" + before.lstrip("\n"))
    if not mark or opening.strip():
        raise DataError(f'{where} should be a transcript "\\n\\nHuman: ...\\n\\nAssistant: ..."; else set data.fields.prompt')
    turns = [Turn(SPEAKERS[speaker], text.strip()) for speaker, text in zip(said[::2], said[1::2], strict=True)]
    return [turn for turn in turns if turn.content], answer.strip()
