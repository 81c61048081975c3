"""Texts to tokens such that the tokens that ask for a response are the first tokens of the row that is trained on.

A tokenizer may join characters on both sides of the place where a response begins: it then gives the prompt alone other tokens than the
prompt within the whole text, and a model is asked with tokens that it was not trained behind. So a row is put together from the left, by
one function for training and for asking: what stands before a response keeps the tokens that it has by itself.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from fedloom.data.templates import Rendered

BEFORE = "\n"
"""Stands before a piece of text that is tokenised by itself, so that no tokenizer takes its beginning for the beginning of a word."""


@dataclass(frozen=True)
class Encoded:
    """`ids` of a whole text; `begins`, the character where each token begins; `responses`, where the tokens of each response begin."""

    ids: list[int]
    begins: list[int]
    responses: list[int]


def encode(rendered: Sequence[Rendered], tokenizer: Any) -> list[Encoded]:
    """The tokens of each of the texts `rendered`.

    For every text T and its responses, which begin at the characters c_1 < c_2 < ..., the tokens of T[:c_k] as `prompt_ids` gives them are
    the first tokens of T.
    """
    cuts = [[start for start, _ in one.responses] + [len(one.text)] for one in rendered]
    pieces = [one.text[:cut] for one, ends in zip(rendered, cuts, strict=True) for cut in ends]
    found = iter(_tokens(tokenizer, pieces))
    leads = {adds: lead(tokenizer) if adds else [] for adds in {one.adds_special_tokens for one in rendered}}
    return [
        _joined(one, ends, [next(found) for _ in ends], tokenizer, leads[one.adds_special_tokens])
        for one, ends in zip(rendered, cuts, strict=True)
    ]


def prompt_ids(rendered: Rendered, tokenizer: Any) -> list[int]:
    """The tokens that ask for the next response, `rendered` being what `render_prompt` gives."""
    return encode([rendered], tokenizer)[0].ids


def _joined(
    rendered: Rendered, cuts: Sequence[int], wholes: Sequence[tuple[list[int], list[int]]], tokenizer: Any, lead: list[int]
) -> Encoded:
    ids: list[int] = []
    begins: list[int] = []
    responses, done = [], 0
    for cut, (whole, whole_begins) in zip(cuts, wholes, strict=True):
        if whole[: len(ids)] == ids:
            begins, ids = begins + whole_begins[len(ids) :], whole
        else:
            piece, piece_begins = _piece(tokenizer, rendered.text[done:cut])
            ids, begins = ids + piece, begins + [done + begin for begin in piece_begins]
        responses.append(len(lead) + len(ids))
        done = cut
    return Encoded(lead + ids, [0] * len(lead) + begins, responses[:-1])


def _piece(tokenizer: Any, text: str) -> tuple[list[int], list[int]]:
    """The tokens of `text`, which stands within another one, and where each begins."""
    ((before, _), (ids, begins)) = _tokens(tokenizer, [BEFORE, BEFORE + text])
    if ids[: len(before)] == before:
        return ids[len(before) :], [max(0, begin - len(BEFORE)) for begin in begins[len(before) :]]
    return _tokens(tokenizer, [text])[0]


def _tokens(tokenizer: Any, texts: Sequence[str]) -> list[tuple[list[int], list[int]]]:
    """(ids, first characters) of each text, without what a post-processor adds. Without offsets, all tokens begin at 0."""
    fast = getattr(tokenizer, "is_fast", False)
    found = tokenizer(list(texts), add_special_tokens=False, return_offsets_mapping=fast, verbose=False)
    offsets = found["offset_mapping"] if fast else [[(0, 0)] * len(ids) for ids in found["input_ids"]]
    return [(list(ids), [begin for begin, _ in spans]) for ids, spans in zip(found["input_ids"], offsets, strict=True)]


def lead(tokenizer: Any) -> list[int]:
    """The tokens that the tokenizer puts in front of a text. What it puts behind one would stand between a prompt and its answer."""
    with_special = list(tokenizer("a", verbose=False)["input_ids"])
    plain = list(tokenizer("a", add_special_tokens=False, verbose=False)["input_ids"])
    for start in range(len(with_special) - len(plain) + 1):
        if with_special[start : start + len(plain)] == plain:
            return with_special[:start]
    return []
