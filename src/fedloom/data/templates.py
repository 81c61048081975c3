"""How a conversation becomes text, and which characters of it a model is trained to say.

The prompt that an answer is asked with is rendered by the same functions as the text that is trained on, so the two cannot drift apart.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from fedloom.data.records import Turn
from fedloom.errors import DataError

ALPACA_PREAMBLE = "Below is an instruction that describes a task. Write a response that appropriately completes the request."
VICUNA_PREAMBLE = (
    "A chat between a curious user and an artificial intelligence assistant. "
    "The assistant gives helpful, detailed, and polite answers to the user's questions."
)
VERSION = "2"
"""Changes when a template changes: part of the token cache's key and of the manifest."""


@dataclass(frozen=True)
class Rendered:
    """`text`, and the character ranges [start, end) of it that are responses (end-of-turn mark included)."""

    text: str
    responses: tuple[tuple[int, int], ...]
    adds_special_tokens: bool
    """Whether the tokenizer still has to put its own first token in front."""
    response_after_space: bool = False
    """Whether a response begins with a space that is not part of what is said."""


def render(turns: Sequence[Turn], tokenizer: Any, template: str) -> Rendered:
    """The text of a whole conversation. `template` is chat, alpaca or vicuna. Raises DataError for a template that cannot be masked."""
    if template == "chat":
        return _render_chat(turns, tokenizer)
    return _render_plain(turns, tokenizer, template)


def render_prompt(turns: Sequence[Turn], tokenizer: Any, template: str) -> Rendered:
    """The text that asks for the next response to `turns`, and where the responses to earlier turns stand in it."""
    if template == "chat":
        text = _chat_text(turns, tokenizer, ask=True)
        return Rendered(text, tuple(_chat_spans(turns, tokenizer, text)), adds_special_tokens=False)
    return _render_plain(turns, tokenizer, template)


def _render_chat(turns: Sequence[Turn], tokenizer: Any) -> Rendered:
    """The tokenizer's own template. A response starts where the text that asks for it ends, true of any template that only appends."""
    text = _chat_text(turns, tokenizer, ask=False)
    spans = _chat_spans(turns, tokenizer, text)
    if len(spans) < sum(turn.role == "assistant" for turn in turns):
        raise DataError(
            "data.template: this tokenizer's chat template rewrites earlier turns, so responses cannot be told from prompts; "
            "use template: alpaca or vicuna, or single-turn data"
        )
    return Rendered(text, tuple(spans), adds_special_tokens=False)


def _chat_spans(turns: Sequence[Turn], tokenizer: Any, text: str) -> list[tuple[int, int]]:
    """The character ranges of the responses in `text`, the rendered `turns`, without those whose place cannot be told."""
    spans = []
    for i, turn in enumerate(turns):
        if turn.role != "assistant":
            continue
        answered = text if i == len(turns) - 1 else _chat_text(turns[: i + 1], tokenizer, ask=False)
        asked = _chat_text(turns[:i], tokenizer, ask=True) if i else _before_first(turns[0], tokenizer, answered)
        if answered.startswith(asked) and text.startswith(answered):
            spans.append((len(asked), len(asked) + len(answered[len(asked) :].rstrip())))
    return spans


def _before_first(turn: Turn, tokenizer: Any, answered: str) -> str:
    """What stands before the response in `answered`, the text of the one response `turn` that nobody has asked for.

    No template is asked for the prompt of an empty conversation, which many refuse: it ends with what asks for a second response.
    """
    asks = _chat_text([turn], tokenizer, ask=True).removeprefix(answered)
    before, found, _ = answered.partition(asks)
    return before + found if found else answered[: max(answered.find(turn.content.strip()), 0)]


def _render_plain(turns: Sequence[Turn], tokenizer: Any, template: str) -> Rendered:
    text, spans = "", []
    for piece, is_response in _plain_pieces(turns, tokenizer.eos_token or "", template):
        if is_response:
            spans.append((len(text), len(text) + len(piece)))
        text += piece
    return Rendered(text, tuple(spans), adds_special_tokens=True, response_after_space=True)


def _chat_text(turns: Sequence[Turn], tokenizer: Any, ask: bool) -> str:
    if not getattr(tokenizer, "chat_template", None):
        raise DataError("data.template: chat needs a tokenizer with a chat template, and this model's has none; use alpaca or vicuna")
    messages = [{"role": turn.role, "content": turn.content} for turn in turns]
    try:
        return str(tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=ask))
    except Exception as error:  # noqa: BLE001 - a template is a program of the model's authors, and may raise anything
        roles, reason = ", ".join(turn.role for turn in turns), f"{type(error).__name__}: {error}"
        if any(turn.content in reason for turn in turns):
            reason = type(error).__name__
        raise DataError(
            f"data.template: the model's chat template refuses a conversation of {roles} ({reason}); use template: alpaca or vicuna, or"
            " rows without such turns"
        ) from None


def _plain_pieces(turns: Sequence[Turn], eos: str, template: str) -> list[tuple[str, bool]]:
    """(text, is a response) in order. Alpaca has a space after the instruction and after the colon, as published.

    The space between the colon and the response belongs to the response: most tokenizers write it into the response's first word.
    """
    if any(turn.role == "system" for turn in turns[1:]):
        raise DataError(f"data.template: {template} has one system turn, the first; a conversation has a later one: mend it, or use chat")
    system = turns[0].content if turns and turns[0].role == "system" else None
    pieces: list[tuple[str, bool]] = []
    if template == "alpaca":
        pieces.append((f"{system or ALPACA_PREAMBLE}\n\n", False))
        before, after, between = "### Instruction:\n", " \n\n### Response:", "\n\n"
    else:
        pieces.append((f"{system or VICUNA_PREAMBLE} ", False))
        before, after, between = "USER: ", " ASSISTANT:", ""
    for turn in turns:
        if turn.role == "user":
            separator = between if len(pieces) > 1 else ""
            pieces.append((f"{separator}{before}{turn.content}{after}", False))
        elif turn.role == "assistant":
            pieces.append((f" {turn.content}{eos}", True))
    return pieces
