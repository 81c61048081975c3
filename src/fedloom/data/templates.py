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
VERSION = "1"
"""Changes when a template changes: part of the token cache's key and of the manifest."""


@dataclass(frozen=True)
class Rendered:
    """`text`, and the character ranges [start, end) of it that are responses (end-of-turn mark included)."""

    text: str
    responses: tuple[tuple[int, int], ...]
    adds_special_tokens: bool
    """Whether the tokenizer still has to put its own first token in front."""


def render(turns: Sequence[Turn], tokenizer: Any, template: str) -> Rendered:
    """The text of a whole conversation. `template` is chat, alpaca or vicuna. Raises DataError for a template that cannot be masked."""
    if template == "chat":
        return _render_chat(turns, tokenizer)
    text, spans = "", []
    for piece, is_response in _plain_pieces(turns, tokenizer.eos_token or "", template):
        if is_response:
            spans.append((len(text), len(text) + len(piece)))
        text += piece
    return Rendered(text, tuple(spans), adds_special_tokens=True)


def render_prompt(turns: Sequence[Turn], tokenizer: Any, template: str) -> Rendered:
    """The text that asks for the next response to `turns`."""
    if template == "chat":
        return Rendered(_chat_text(turns, tokenizer, ask=True), (), adds_special_tokens=False)
    pieces = _plain_pieces(turns, tokenizer.eos_token or "", template)
    return Rendered("".join(piece for piece, _ in pieces).rstrip(" "), (), adds_special_tokens=True)


def _render_chat(turns: Sequence[Turn], tokenizer: Any) -> Rendered:
    """The tokenizer's own template. A response starts where the text that asks for it ends, true of any template that only appends."""
    text = _chat_text(turns, tokenizer, ask=False)
    spans = []
    for i, turn in enumerate(turns):
        if turn.role != "assistant":
            continue
        asked = _chat_text(turns[:i], tokenizer, ask=True)
        answered = text if i == len(turns) - 1 else _chat_text(turns[: i + 1], tokenizer, ask=False)
        if not answered.startswith(asked) or not text.startswith(answered):
            raise DataError(
                "data.template: this tokenizer's chat template rewrites earlier turns, so responses cannot be told from prompts; "
                "use template: alpaca or vicuna, or single-turn data"
            )
        spans.append((len(asked), len(asked) + len(answered[len(asked) :].rstrip())))
    return Rendered(text, tuple(spans), adds_special_tokens=False)


def _chat_text(turns: Sequence[Turn], tokenizer: Any, ask: bool) -> str:
    if not getattr(tokenizer, "chat_template", None):
        raise DataError("data.template: chat needs a tokenizer with a chat template, and this model's has none; use alpaca or vicuna")
    messages = [{"role": turn.role, "content": turn.content} for turn in turns]
    return str(tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=ask))


def _plain_pieces(turns: Sequence[Turn], eos: str, template: str) -> list[tuple[str, bool]]:
    """(text, is a response) in order. Alpaca has a space after the instruction and after the colon, as published."""
    system = next((turn.content for turn in turns if turn.role == "system"), None)
    pieces: list[tuple[str, bool]] = []
    if template == "alpaca":
        pieces.append((f"{system or ALPACA_PREAMBLE}\n\n", False))
        before, after, between = "### Instruction:\n", " \n\n### Response: ", "\n\n"
    else:
        pieces.append((f"{system or VICUNA_PREAMBLE} ", False))
        before, after, between = "USER: ", " ASSISTANT: ", ""
    for turn in turns:
        if turn.role == "user":
            separator = between if len(pieces) > 1 else ""
            pieces.append((f"{separator}{before}{turn.content}{after}", False))
        elif turn.role == "assistant":
            pieces.append((turn.content + eos, True))
    return pieces
