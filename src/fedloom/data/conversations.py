"""Conversations as data sets write them: OpenAI's {role, content} and ShareGPT's {from, value}."""

from __future__ import annotations

from typing import Any

from fedloom.data.records import Turn
from fedloom.errors import DataError

ROLES = {"system": "system", "user": "user", "human": "user", "assistant": "assistant", "gpt": "assistant"}

KINDS = {type(None): "null", str: "text", list: "a list", dict: "an object", int: "a number", float: "a number", bool: "true or false"}


def read_conversation(value: Any, where: str) -> list[Turn]:
    """The turns up to the last answer. Raises DataError beginning with `where` for anything that is no answered conversation."""
    turns = read_turns(value, where)
    while turns and turns[-1].role != "assistant":
        turns.pop()
    if not any(turn.role == "user" for turn in turns):
        raise DataError(f"{where}: should hold a user turn and an assistant turn that answers it")
    return turns


def read_history(value: Any, where: str) -> list[Turn]:
    """Earlier turns: a list of [question, answer] pairs, or of turns; none where it is null or empty.

    Raises DataError beginning with `where` for anything else, and for turns that do not end with an answer.
    """
    if value is None or value in ("", []):
        return []
    if isinstance(value, list) and all(isinstance(one, dict) for one in value):
        turns = read_turns(value, where)
        if turns and turns[-1].role != "assistant":
            raise DataError(f"{where} should end with an answer; mend or remove the row")
        return turns
    pairs = value if isinstance(value, list) else [value]
    if not all(
        isinstance(pair, list) and len(pair) == 2 and all(isinstance(text, str) and text.strip() for text in pair) for pair in pairs
    ):
        raise DataError(f"{where} should be a list of [question, answer] pairs, or of turns {{role, content}}, each with text")
    return [Turn(role, text) for pair in pairs for role, text in zip(("user", "assistant"), pair, strict=True)]


def read_turns(value: Any, where: str) -> list[Turn]:
    """All turns, without empty system turns. Raises DataError beginning with `where` for a turn without a known role or without text."""
    if not isinstance(value, list):
        raise DataError(f"{where}: a conversation should be a list of turns {{role, content}}, not {kind_of(value)}")
    turns = []
    for number, said in enumerate(value, start=1):
        role, content = _role_and_content(said)
        if not isinstance(role, str) or role not in ROLES:
            raise DataError(f"{where}: turn {number} should have a role out of {', '.join(ROLES)}")
        if not isinstance(content, str) or (not content.strip() and role != "system"):
            raise DataError(f"{where}: turn {number} should hold text; fill it or remove the row")
        if content.strip():
            turns.append(Turn(ROLES[role], content))
    return turns


def kind_of(value: Any) -> str:
    """What a value of a data file is called in an error, without saying what it holds."""
    return KINDS.get(type(value), type(value).__name__)


def _role_and_content(said: Any) -> tuple[Any, Any]:
    if not isinstance(said, dict):
        return None, None
    return (said.get("role"), said.get("content")) if "role" in said else (said.get("from"), said.get("value"))
