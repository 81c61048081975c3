"""The rows of the public sets that FedLLM-Bench's federations are built from: whose each is, and what it becomes, or why it is left out.

aya_dataset (Singh et al. 2024, arXiv 2402.06619), chatbot_arena_conversations (Zheng et al. 2023, arXiv 2306.05685) and WildChat-1M (Zhao
et al. 2024, arXiv 2405.01470), by the columns that they are published with. The first release of WildChat names no users.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from fedloom.data.conversations import ROLES, kind_of
from fedloom.data.rows import Row
from fedloom.errors import DataError

AYA_LANGUAGES = {
    "arb": "ar", "ara": "ar", "eng": "en", "spa": "es", "fra": "fr", "por": "pt", "rus": "ru", "tel": "te", "zho": "zh",
}  # fmt: skip
"""aya_dataset's language code -> that of FedLLM-Bench. Arabic is the standard one, Chinese simplified or traditional."""

EMPTY = "without text in a question or an answer"
NOBODY = "without a user"
SEVERAL = "with more than one turn"
SINGLE = "with one turn alone"

PREFERRED = {"model_a": ("conversation_a", "conversation_b"), "model_b": ("conversation_b", "conversation_a")}
"""winner -> the columns of the preferred and of the other conversation."""

SHARE_GPT = {"user": "human", "assistant": "gpt", "system": "system"}


@dataclass(frozen=True)
class Taken:
    """A row of a federation: its `client`, and its `columns`."""

    client: str
    columns: Mapping[str, Any]


@dataclass(frozen=True)
class PublicSet:
    """`take` gives the row that a row of the set called `hub` becomes, or why it is left out. It needs the columns `needed`.

    `min_rows` is the least that a client has, unless the user says otherwise.
    """

    hub: str
    needed: tuple[str, ...]
    take: Callable[[Row], Taken | str]
    min_rows: int


def aya_row(row: Row) -> Taken | str:
    """An annotator's question and answer in one language: the client is both, so that none has two languages."""
    code = str(row.columns["language_code"])
    language = AYA_LANGUAGES.get(code, code if code in AYA_LANGUAGES.values() else None)
    asked, answer, user = (row.columns[column] for column in ("inputs", "targets", "user_id"))
    if language is None:
        return "in another language"
    if not _is_name(user):
        return NOBODY
    if not _is_text(asked, row, "inputs") or not _is_text(answer, row, "targets"):
        return EMPTY
    return Taken(f"{user}-{language}", {"instruction": asked, "response": answer, "language": language})


def arena_row(row: Row) -> Taken | str:
    """A user's question with the preferred answer; of two that are equally good, the first."""
    winner = row.columns["winner"]
    if winner == "tie (bothbad)":
        return "with two bad answers"
    better, _ = PREFERRED["model_a" if winner == "tie" else _winner(row)]
    found = _single_turn(row, better)
    if isinstance(found, str):
        return found
    asked, answer = found
    return _of_user(row, "judge", {"instruction": asked, "response": answer})


def arena_pair(row: Row) -> Taken | str:
    """A user's question with the preferred answer and the other one."""
    if str(row.columns["winner"]).startswith("tie"):
        return "with a tie"
    better, worse = (_single_turn(row, column) for column in PREFERRED[_winner(row)])
    if isinstance(better, str):
        return better
    if isinstance(worse, str):
        return worse
    if better[0] != worse[0]:
        return "with two questions"
    if better[1] == worse[1]:
        return "with one answer twice"
    return _of_user(row, "judge", {"prompt": better[0], "chosen": better[1], "rejected": worse[1]})


def wildchat_row(row: Row) -> Taken | str:
    """A user's conversation of one turn."""
    found = _single_turn(row, "conversation")
    if isinstance(found, str):
        return found
    asked, answer = found
    return _of_user(row, "hashed_ip", {"instruction": asked, "response": answer})


def wildchat_conversation(row: Row) -> Taken | str:
    """A user's conversation of two turns or more, as ShareGPT writes it."""
    turns = _turns(row, "conversation")
    if isinstance(turns, str):
        return turns
    if len(turns) < 4:
        return SINGLE
    said = [{"from": SHARE_GPT[role], "value": text} for role, text in turns]
    return _of_user(row, "hashed_ip", {"conversations": said})


ARENA_COLUMNS = ("judge", "winner", "conversation_a", "conversation_b")
ARENA, WILDCHAT = "lmsys/chatbot_arena_conversations", "allenai/WildChat-1M"
WILDCHAT_COLUMNS = ("hashed_ip", "conversation")

PUBLIC_SETS = {
    "fed-aya": PublicSet("CohereForAI/aya_dataset", ("inputs", "targets", "language_code", "user_id"), aya_row, min_rows=100),
    "fed-chatbot-it": PublicSet(ARENA, ARENA_COLUMNS, arena_row, min_rows=10),
    "fed-chatbot-pa": PublicSet(ARENA, ARENA_COLUMNS, arena_pair, min_rows=5),
    "fed-wildchat": PublicSet(WILDCHAT, WILDCHAT_COLUMNS, wildchat_row, min_rows=100),
}
MULTI_TURN_SETS = {"fed-wildchat": PublicSet(WILDCHAT, WILDCHAT_COLUMNS, wildchat_conversation, min_rows=50)}
"""What each federation, and its part of several turns, is built from."""


def _of_user(row: Row, column: str, columns: Mapping[str, Any]) -> Taken | str:
    user, language = row.columns[column], row.columns.get("language")
    return Taken(user, {**columns, **({"language": language} if language else {})}) if _is_name(user) else NOBODY


def _winner(row: Row) -> str:
    winner = row.columns["winner"]
    if winner not in PREFERRED:
        raise DataError(f"{row.where}: column 'winner' should be model_a, model_b, tie or tie (bothbad)")
    return str(winner)


def _single_turn(row: Row, column: str) -> tuple[str, str] | str:
    """The question and the answer of a conversation of one turn."""
    turns = _turns(row, column)
    if isinstance(turns, str):
        return turns
    if len(turns) != 2:
        return SEVERAL
    return turns[0][1], turns[1][1]


def _turns(row: Row, column: str) -> list[tuple[str, str]] | str:
    """(role, text) of a conversation in which a user and the assistant take turns and the assistant has the last word."""
    value = row.columns[column]
    if not isinstance(value, list) or not all(isinstance(turn, dict) for turn in value):
        raise DataError(f"{row.where}: column '{column}' should be a list of turns {{role, content}}, not {kind_of(value)}")
    roles, texts = [ROLES.get(turn.get("role", "")) for turn in value], [turn.get("content") for turn in value]
    if not value or not all(_is_text(text, row, column) for text in texts):
        return EMPTY
    if None in roles:
        return "with a role that is not known"
    if roles[0] != "user":
        return "that begin with the assistant"
    if roles[-1] != "assistant":
        return "that end without an answer"
    if any(role != ("user", "assistant")[place % 2] for place, role in enumerate(roles)):
        return "in which two turns of one side follow each other"
    return [(str(role), str(text)) for role, text in zip(roles, texts, strict=True)]


def _is_name(user: Any) -> bool:
    return isinstance(user, str) and bool(user.strip())


def _is_text(text: Any, row: Row, column: str) -> bool:
    """Whether there is text. Raises DataError for what is neither text nor null: the columns are other ones."""
    if text is not None and not isinstance(text, str):
        raise DataError(f"{row.where}: column '{column}' should hold text, not {kind_of(text)}")
    return bool(text and text.strip())
