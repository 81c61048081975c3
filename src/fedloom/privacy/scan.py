"""A scan for private text: 8 words in a row of a private row, looked for in files and in what a model says. It shows no text, only counts.

The texts and what they are looked for in are cut into words alike: runs of letters and digits, in small letters.
"""

from __future__ import annotations

import codecs
import html
import re
from collections.abc import Collection, Iterable, Iterator
from pathlib import Path

import numpy as np

from fedloom.data.records import Conversation, Document, Record

LENGTH = 8
"""Words in a row that are taken for a trace of the text that they stand in."""

SHORTEST = 2 * LENGTH - 1
"""Bytes that so many words take at the least."""

PIECE, OVERLAP = 1 << 24, 1 << 16
"""Bytes of a file that are searched at once, and those of the piece before that are searched again with them."""

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
    """The number of files anywhere below `folder`, and path from there -> how many of `grams` stand in it, for files with any.

    A file is read as it is, with the escapes of JSON resolved, and as a page: without tags, with entities as letters. Of a file that is no
    text, such as weights, every run of text is read. What is compressed, or in another encoding than UTF-8, is not found.
    """
    searched, hits = 0, {}
    for path in sorted(path for path in folder.rglob("*") if path.is_file() and not path.is_symlink()):
        searched += 1
        found = frozenset[tuple[str, ...]]().union(*(_found(grams, _readings(text)) for text in (_texts_in(path) if grams else ())))
        if found:
            hits[path.relative_to(folder).as_posix()] = len(found)
    return searched, hits


def said_in(grams: Grams, said: Collection[str], asked: Collection[str]) -> int:
    """How many of the texts `said` hold one of `grams` that does not stand in the text they were `asked` with."""
    return sum(bool(_found(grams, [answer]) - _found(grams, [prompt])) for answer, prompt in zip(said, asked, strict=True))


def _found(grams: Grams, texts: Iterable[str]) -> Grams:
    return grams.intersection(gram for text in texts for gram in _grams(text)) if grams else grams


def _grams(text: str) -> Iterator[tuple[str, ...]]:
    words = re.findall(r"[^\W_]+", text.lower())
    return zip(*(words[place:] for place in range(LENGTH)), strict=False)


def _texts_in(path: Path) -> Iterator[str]:
    """What a file holds as text, piece by piece; of pieces with a byte of zero, which are no text, every run of text in them."""
    with path.open("rb") as file:
        before = b""
        while read := file.read(PIECE):
            piece = before + read
            for text in _runs(piece) if b"\0" in piece else [piece]:
                yield text.decode("utf-8", errors="replace")
            before = read[-OVERLAP:]


def _runs(data: bytes) -> Iterator[bytes]:
    """Every run of at least `SHORTEST` bytes of UTF-8 in `data` without control characters other than white space."""
    text = _is_text(np.frombuffer(data, np.uint8))
    ends = np.flatnonzero(np.diff(text, prepend=False, append=False))
    starts, ends = ends[::2], ends[1::2]
    long = ends - starts >= SHORTEST
    for start, end in zip(starts[long].tolist(), ends[long].tolist(), strict=True):
        yield data[start:end]


def _is_text(data: np.ndarray) -> np.ndarray:
    """(bytes,): whether each byte is a printable letter of ASCII or white space, or belongs to a letter of UTF-8 that is whole."""
    text = ((data >= 0x20) & (data < 0x7F)) | ((data >= 0x09) & (data <= 0x0D))
    follows = (data & 0xC0) == 0x80
    whole = np.ones(len(data), dtype=bool)
    for behind, (first, last) in enumerate(((0xC2, 0xDF), (0xE0, 0xEF), (0xF0, 0xF4)), start=1):
        whole[:-behind] &= follows[behind:]
        whole[-behind:] = False
        begins = np.flatnonzero((data >= first) & (data <= last) & whole)
        for place in range(behind + 1):
            text[begins + place] = True
    return text


def _readings(text: str) -> list[str]:
    """`text` as a person may read it: as it is, with escapes resolved, and as a page."""
    unescaped = re.sub(r"\\u[0-9a-fA-F]{4}|\\[nrt]", _letter, text)
    return [text, unescaped, html.unescape(re.sub(r"<[^>]*>", " ", text))]


def _letter(escape: re.Match[str]) -> str:
    return codecs.decode(escape[0], "unicode_escape")
