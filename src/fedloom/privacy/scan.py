"""A scan for private text: 8 words in a row of a private row, looked for in files and in what a model says. It shows no text, only counts.

The texts and what they are looked for in are cut into words alike: runs of letters and digits, in small letters.
"""

from __future__ import annotations

import codecs
import html
import re
from collections.abc import Collection, Iterable, Iterator
from pathlib import Path

from fedloom.data.records import Conversation, Document, Record

LENGTH = 8
"""Words in a row that are taken for a trace of the text that they stand in."""

LOOKED_AT = 8192
"""Bytes of a file that decide whether it is a text."""

Grams = frozenset[tuple[str, ...]]
"""Runs of `LENGTH` words."""


def texts_of(records: Iterable[Record]) -> Iterator[str]:
    """Every text that stands in `records`: turns and answers of conversations, documents. Records of other kinds have none."""
    for record in records:
        if isinstance(record, Conversation):
            yield from (turn.content for turn in record.turns)
            yield from (*record.alternatives, *([record.rejected] if record.rejected else []))
        elif isinstance(record, Document):
            yield record.text


def grams_of(texts: Iterable[str]) -> Grams:
    """The runs of `LENGTH` words in `texts`; a shorter text has none."""
    return frozenset(gram for text in texts for gram in _grams(text))


def found_in_files(grams: Grams, folder: Path) -> tuple[int, dict[str, int]]:
    """The number of text files anywhere below `folder`, and path from there -> how many of `grams` stand in it, for files with any.

    A file is read as it is, with the escapes of JSON resolved, and as a page: without tags, with entities as letters.
    """
    searched, hits = 0, {}
    for path in sorted(path for path in folder.rglob("*") if path.is_file() and not path.is_symlink()):
        text = _text_of(path)
        if text is None:
            continue
        searched += 1
        if count := len(_found(grams, _readings(text))):
            hits[path.relative_to(folder).as_posix()] = count
    return searched, hits


def said_in(grams: Grams, said: Collection[str], asked: Collection[str]) -> int:
    """How many of the texts `said` hold one of `grams` that does not stand in the text they were `asked` with."""
    return sum(bool(_found(grams, [answer]) - _found(grams, [prompt])) for answer, prompt in zip(said, asked, strict=True))


def _found(grams: Grams, texts: Iterable[str]) -> Grams:
    return grams.intersection(gram for text in texts for gram in _grams(text)) if grams else grams


def _grams(text: str) -> Iterator[tuple[str, ...]]:
    words = re.findall(r"[^\W_]+", text.lower())
    return zip(*(words[place:] for place in range(LENGTH)), strict=False)


def _text_of(path: Path) -> str | None:
    """What a file of text holds; None for other files."""
    data = path.read_bytes()
    if b"\0" in data[:LOOKED_AT]:
        return None
    return data.decode("utf-8", errors="replace")


def _readings(text: str) -> list[str]:
    """`text` as a person may read it: as it is, with escapes resolved, and as a page."""
    unescaped = re.sub(r"\\u[0-9a-fA-F]{4}|\\[nrt]", _letter, text)
    return [text, unescaped, html.unescape(re.sub(r"<[^>]*>", " ", text))]


def _letter(escape: re.Match[str]) -> str:
    return codecs.decode(escape[0], "unicode_escape")
