"""Columns -> a preference pair: what was asked, the answer that was preferred and the one that was not.

Three layouts are read: a prompt (text, or turns) with two answers; two whole conversations; two whole transcripts of the form
"\\n\\nHuman: ...\\n\\nAssistant: ..." (HH-RLHF). In two whole conversations or transcripts, what comes before the last answer is what was
asked, and it has to be the same. A prompt beside them has to agree with it, and whichever of the two says more is what was asked.
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


def read_pair(row: Row, prompt: str | None, chosen: str, rejected: str, joined: str = "") -> tuple[list[Turn], str, str]:
    """The turns that are asked, the chosen answer and the rejected one, from the columns of these names.

    `prompt` null: both answers come with what was asked. The text `joined` is put behind a prompt that is text. Raises DataError with file
    and line for a row that does not fit.
    """
    before_chosen, preferred = _answer(row, chosen, "chosen", transcript=prompt is None)
    before_rejected, other = _answer(row, rejected, "rejected", transcript=prompt is None)
    if before_chosen != before_rejected and not (prompt and (not before_chosen or not before_rejected)):
        raise DataError(f"{row.where}: '{chosen}' and '{rejected}' answer different prompts; mend or remove the row")
    asked = before_chosen or before_rejected
    if prompt:
        told = _prompt(row.columns.get(prompt), joined, f"{row.where}: column '{prompt}' (prompt)")
        asked = _united(told, asked, f"{row.where}: column '{prompt}' (prompt)")
    if not asked or asked[-1].role != "user":
        raise DataError(f"{row.where}: what is asked should end with a user turn; mend or remove the row")
    return asked, preferred, other


def _united(told: list[Turn], before: list[Turn], where: str) -> list[Turn]:
    """What was asked: the turns of the prompt column, and those before the answers, of which one may hold the other."""
    (system, said), (own_system, own) = _without_system(told), _without_system(before)
    if system and own_system and system != own_system:
        raise DataError(f"{where} has another system turn than the answers' conversations; mend or remove the row")
    if _holds(own, said):
        said = own
    elif not _ends_with(said, own):
        if said[-1].role != "assistant" or own[0].role != "user":
            raise DataError(f"{where} is no part of the conversations that the answers end; mend the row, or leave data.fields.prompt out")
        said = [*said, *own]
    return [*(system or own_system), *said]


def _without_system(turns: list[Turn]) -> tuple[list[Turn], list[Turn]]:
    """The system turn at the beginning, if there is one, and the others."""
    first = 1 if turns and turns[0].role == "system" else 0
    return turns[:first], turns[first:]


def _ends_with(turns: list[Turn], part: list[Turn]) -> bool:
    """Whether `turns` end with the turns of `part`."""
    return len(part) <= len(turns) and _holds(turns[len(turns) - len(part) :], part)


def _holds(turns: list[Turn], part: list[Turn]) -> bool:
    """Whether the turns of `part` stand one after another in `turns`. Space around them does not count."""
    wanted, found = ([(turn.role, turn.content.strip()) for turn in some] for some in (part, turns))
    return any(found[start : start + len(wanted)] == wanted for start in range(len(found) - len(wanted) + 1))


def _prompt(value: Any, joined: str, where: str) -> list[Turn]:
    if isinstance(value, list) and not joined:
        return read_turns(value, where)
    if not isinstance(value, str):
        raise DataError(f"{where} should be text or a list of turns, not {kind_of(value)}")
    if not value.strip():
        raise DataError(f"{where} is empty; fill it or remove the row")
    return [Turn("user", f"{value} {joined}" if joined else value)]


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
