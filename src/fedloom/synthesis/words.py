"""Words of a text, as the filters and the embedder by words see them."""

from __future__ import annotations

import re

WORD = re.compile(r"[^\W_]+(?:['’-][^\W_]+)*")

LISTED = """
a about after again all also am an and any are as at be because been before being between both but by can could did do does doing
down during each few for from further had has have having he her here hers him his how i if in into is it its itself just me more
most my no nor not of off on once only or other our out over own s same she should so some such than that the their them then
there these they this those through to too under until up us very was we were what when where which while who whom why will with
would you your many much may might one use used using
"""
STOPWORDS = frozenset(LISTED.split())
"""English words that say nothing of what a text is about."""


def words(text: str) -> list[str]:
    """The words of `text` in small letters."""
    return [match[0].replace("’", "'") for match in WORD.finditer(text.casefold())]


def content_words(text: str) -> list[str]:
    """The words of `text` that are no stopwords, without an English plural's or verb's ending, so that `disease` and `diseases` are one."""
    return [stem(word) for word in words(text) if word not in STOPWORDS]


def stem(word: str) -> str:
    for ending, put in (("ies", "y"), ("sses", "ss"), ("ing", ""), ("ed", ""), ("es", "e"), ("s", ""), ("e", "")):
        if word.endswith(ending) and len(word) - len(ending) >= 3 and not word.endswith("ss"):
            return word[: len(word) - len(ending)] + put if ending != "es" else word[:-2]
    return word


def ngrams(found: list[str], size: int) -> set[tuple[str, ...]]:
    """All runs of `size` words; of fewer words, all of them as one run."""
    if len(found) < size:
        return {tuple(found)} if found else set()
    return {tuple(found[i : i + size]) for i in range(len(found) - size + 1)}
