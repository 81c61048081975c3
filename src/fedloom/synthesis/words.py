"""Words of a text, as the filters and the embedder by words see them."""

from __future__ import annotations

import re
from functools import lru_cache

import snowballstemmer

WORD = re.compile(r"[^\W_]+(?:['’-][^\W_]+)*")

LISTED = """
a about after again all also am an and any are as at be because been before being between both but by can could did do does doing
down during each few for from further had has have having he her here hers him his how i if in into is it its itself just me more
most my of off on once only or other our out over own s same she should so some such than that the their them then
there these they this those through to too under until up us very was we were what when where which while who whom why will with
would you your many much may might one use used using
"""
STOPWORDS = frozenset(LISTED.split())
"""English words that say nothing of what a text is about. Negations are none of them."""

NEGATION = re.compile(r"\b(?:no|not|never|none|nobody|nothing|neither|nor|without|cannot)\b|n['’]t\b", re.IGNORECASE)

UNSPACED = re.compile("[\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff]")
"""A letter of a script that puts no spaces between words: Chinese, Japanese, Thai, Lao, Burmese, Khmer."""
LETTERS_A_WORD = 2
"""Letters of such a script that are counted as one word."""

NUMBER = re.compile(r"\d+(?:[.,]\d+)*")
THOUSANDS = re.compile(r"(?<=\d),(?=\d{3}\b)")

_STEMMER = snowballstemmer.stemmer("english")


def words(text: str) -> list[str]:
    """The words of `text` in small letters."""
    return [match[0].replace("’", "'") for match in WORD.finditer(text.casefold())]


def content_words(text: str) -> list[str]:
    """The words of `text` that are no stopwords, by their stems (Porter's second English stemmer): `disease` and `diseases` are one."""
    return [stem(word) for word in words(THOUSANDS.sub("", text)) if word not in STOPWORDS]


@lru_cache(maxsize=1 << 16)
def stem(word: str) -> str:
    return str(_STEMMER.stemWord(word))


def numbers_in(text: str) -> set[str]:
    """The numbers of `text` in figures, without the commas between thousands."""
    return {found.rstrip(".,") for found in NUMBER.findall(THOUSANDS.sub("", text))}


def count_words(text: str) -> int:
    """The words of `text`; where a script has no spaces, two letters count as one."""
    return len(UNSPACED.sub(" ", text).split()) + (len(UNSPACED.findall(text)) + LETTERS_A_WORD - 1) // LETTERS_A_WORD


def ngrams(found: list[str], size: int) -> set[tuple[str, ...]]:
    """All runs of `size` words; of fewer words, all of them as one run."""
    if len(found) < size:
        return {tuple(found)} if found else set()
    return {tuple(found[i : i + size]) for i in range(len(found) - size + 1)}
