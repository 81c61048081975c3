"""Documents cut into pieces of whole sentences, up to a number of tokens. A piece knows its file, its page or heading, and its offset.

A line's end within a paragraph is as good as a space: a text is cut alike whether its lines are wrapped or not.
"""

from __future__ import annotations

import hashlib
import re
from bisect import bisect_right
from collections.abc import Callable, Iterator
from dataclasses import replace
from itertools import pairwise
from typing import Any

import semchunk

from fedloom.data.records import Document, Mark

PLACE, OFFSET, SHA256 = "place", "offset", "sha256"
"""Fields of a piece: the page or heading that it stands under, the character that it begins at, and the hash of its text."""

SENTENCE_END = re.compile(r"[.!?]\s+")
FENCE = re.compile(r"\s*(?:```|~~~)")
ALONE = re.compile(r"\s*(?:#{1,6}\s|\||```|~~~|([-=_*])\1{2,}\s*$)")
"""A line that is no part of a paragraph: a heading, a row of a table, the fence of code, or a rule."""
ITEM = re.compile(r"\s*(?:[-*+•]|\d{1,3}[.)])\s")

SPACE = re.compile(r"\s+")
MEANT = {0xFDD0 + number: space for number, space in enumerate(filter(str.isspace, map(chr, range(0x3001))))}
"""Noncharacters of Unicode, which no text should have, and the white space that each stands for."""
STAND_INS = {ord(space): stand_in for stand_in, space in MEANT.items()}


def pieces_of(document: Document, tokenizer: Any, longest: int, overlap: int = 0) -> Iterator[Document]:
    """The pieces of `document`, of at most `longest` tokens each: where it can be whole sentences, else clauses, else words.

    With `overlap` a piece begins with the last sentences of the one before, as many as fit into that many tokens.
    """

    def count(text: str) -> int:
        return len(tokenizer(text, add_special_tokens=False, verbose=False)["input_ids"])

    spans = _spans(document.text, count, longest - overlap)
    for number, (start, end) in enumerate(spans):
        begin = _begin(document.text, spans[number - 1], spans[number], count, longest, overlap) if number and overlap else start
        text = document.text[begin:end]
        fields = {**document.fields, OFFSET: str(begin), SHA256: hashlib.sha256(text.encode()).hexdigest()}
        if mark := mark_at(document.marks, start):
            fields[PLACE] = mark.label
        yield replace(document, text=text, fields=fields, marks=())


def mark_at(marks: tuple[Mark, ...], offset: int) -> Mark | None:
    """The page or heading that the character `offset` stands under."""
    number = bisect_right([mark.offset for mark in marks], offset)
    return marks[number - 1] if number else None


def _spans(text: str, count: Callable[[str], int], longest: int) -> list[tuple[int, int]]:
    """Where each piece of `text` begins and ends, white space at its ends taken off."""
    divided = _divided(text)
    _, places = semchunk.chunkerify(lambda part: count(_undivided(part).strip()), longest, memoize=False)(divided, offsets=True)
    spans, seen, offset = [], 0, 0
    for start, end in places:
        offset += len(_undivided(divided[seen:start]))
        part = _undivided(divided[start:end])
        if part.strip():
            begin = offset + len(part) - len(part.lstrip())
            spans.append((begin, begin + len(part.strip())))
        seen, offset = end, offset + len(part)
    return spans


def _divided(text: str) -> str:
    """`text` with a divider before each run of white space, which itself is hidden from semchunk by stand-ins.

    semchunk divides at the longest run of line ends or spaces first. A divider is one space, or a line end for each one that counts: all
    between paragraphs, else those of `_line_ends`.
    """
    ends = _line_ends(text)

    def with_divider(run: re.Match[str]) -> str:
        lines = run[0].count("\n")
        divides = lines > 1 or (lines == 1 and text.index("\n", run.start()) in ends)
        return ("\n" * lines if divides else " ") + run[0].translate(STAND_INS)

    return SPACE.sub(with_divider, text)


def _undivided(part: str) -> str:
    """The text that `part` of a divided text was made of."""
    return part.replace(" ", "").replace("\n", "").translate(MEANT)


def _line_ends(text: str) -> set[int]:
    """Offsets of the line ends that are no spaces: around lines that stand alone, before items of lists, and within fenced code."""
    found, offset, fenced = set(), -1, False
    for line, following in pairwise(text.split("\n")):
        offset += len(line) + 1
        fenced ^= bool(FENCE.match(line))
        if fenced or ALONE.match(line) or ALONE.match(following) or ITEM.match(following):
            found.add(offset)
    return found


def _begin(text: str, before: tuple[int, int], here: tuple[int, int], count: Callable[[str], int], longest: int, overlap: int) -> int:
    """Where the piece `here` begins with the last sentences of the one `before`: of `overlap` tokens, and with it of `longest`, at most."""
    start, end = before
    found = here[0]
    for begin in reversed([start, *(match.end() for match in SENTENCE_END.finditer(text, start, end))]):
        if count(text[begin:end]) > overlap or count(text[begin : here[1]]) > longest:
            break
        found = begin
    return found
