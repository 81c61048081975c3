"""Documents cut into pieces of whole sentences, up to a number of tokens. A piece knows its file, its page or heading, and its offset."""

from __future__ import annotations

import hashlib
from bisect import bisect_right
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from typing import Any

import semchunk

from fedloom.data.records import Document, Mark

PLACE, OFFSET, SHA256 = "place", "offset", "sha256"
"""Fields of a piece: the page or heading that it stands under, the character that it begins at, and the hash of its text."""


def pieces_of(document: Document, tokenizer: Any, longest: int, overlap: int = 0) -> Iterator[Document]:
    """The pieces of `document`, of at most `longest` tokens each: where it can be whole sentences, else clauses, else words.

    With `overlap` a piece begins with the last sentences of the one before, as many as fit into that many tokens.
    """
    count = partial(_tokens, tokenizer)
    chunks, places = semchunk.chunkerify(count, longest - overlap)(document.text, offsets=True)
    begins = [start for start, _ in places]
    if overlap:
        for number, (chunk, (_, end)) in enumerate(zip(chunks[:-1], places[:-1], strict=True), start=1):
            begins[number] = end - len(lead) if (lead := _ending(chunk, count, overlap)) else begins[number]
    for begin, (start, end) in zip(begins, places, strict=True):
        text = document.text[begin:end]
        fields = {**document.fields, OFFSET: str(begin), SHA256: hashlib.sha256(text.encode()).hexdigest()}
        if mark := mark_at(document.marks, start):
            fields[PLACE] = mark.label
        yield replace(document, text=text, fields=fields, marks=())


def mark_at(marks: tuple[Mark, ...], offset: int) -> Mark | None:
    """The page or heading that the character `offset` stands under."""
    number = bisect_right([mark.offset for mark in marks], offset)
    return marks[number - 1] if number else None


def _ending(text: str, count: Callable[[str], int], longest: int) -> str:
    """The last sentences of `text` that have at most `longest` tokens; nothing where the last one alone has more."""
    parts = semchunk.chunkerify(count, longest)(text)
    last = parts[-1] if parts else ""
    before = text[: len(text) - len(last)].rstrip()
    return last if not before or before.endswith((".", "!", "?")) else ""


def _tokens(tokenizer: Any, text: str) -> int:
    return len(tokenizer(text, add_special_tokens=False, verbose=False)["input_ids"])
