"""Instruction: what the rows ask for, by the verb at the root of their first sentence and its noun, as in Self-Instruct (Wang et al. 2023).

spaCy's model of English reads the first sentence of the first user turn. Rows in other languages are counted and not read.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, ClassVar

import numpy as np

from fedloom.bench.diversity import language
from fedloom.bench.diversity.base import Analysis, Columns, Tools, analyses
from fedloom.bench.diversity.found import ALL, CLIENTS, Cell, Found, Rings, Table, Words, joined
from fedloom.data.records import Conversation
from fedloom.errors import MissingExtraError
from fedloom.measures import SHARE, Measure, counted
from fedloom.models.english import MODEL, VERSION, english_folder

LONGEST = 1_000
"""Characters of an instruction that are read."""
VERBS, NOUNS = 20, 4
"""Verbs of the table and the picture of all clients, and nouns of each."""
OF_CLIENTS = 8
"""Verbs of the picture per client."""
RELATIONS = ("dobj", "attr", "nsubjpass", "nsubj")
"""How a noun stands to its verb, as spaCy calls it: the object is taken before what something is, and that before a subject."""

COLUMNS = (
    counted("rows", "rows"),
    counted("english", "in English"),
    Measure("with_verb", "of these, with a verb", SHARE, "neither"),
    counted("verbs", "verbs"),
    counted("pairs", "verb and noun"),
    Measure("top", "five commonest verbs", SHARE, "neither"),
)
OF_VERBS = (counted("rows", "rows"), Measure("share", "share", SHARE, "neither"), Measure("nouns", "commonest nouns", "", "neither"))


@analyses.register("instruction")
@dataclass(frozen=True)
class Instruction(Analysis):
    """Root verb and noun of every instruction in English."""

    title: ClassVar[str] = "Instruction"
    about: ClassVar[str] = (
        "The verb at the root of the first sentence that is asked, and its noun: its object, else what something is, else its subject."
        " Rows in English alone are read."
    )
    shows: ClassVar[str] = "verbs and nouns of its rows"
    leaves: ClassVar[tuple[str, ...]] = ()

    def made_with(self, tools: Tools) -> Any:
        return {**language.versions(), "spacy": _spacy().__version__, MODEL: VERSION}

    def values(self, rows: Sequence[Conversation], tools: Tools) -> Columns:
        english = [found == "en" for found in language.languages_of(rows)]
        texts = [_first(row) if read else "" for row, read in zip(rows, english, strict=True)]
        found = [_verb_and_noun(parsed) for parsed in _english().pipe(texts, batch_size=32)]
        return {
            "english": np.array(english, dtype=bool),
            "verb": np.array([verb for verb, _ in found], dtype=str),
            "noun": np.array([noun for _, noun in found], dtype=str),
        }

    def found(self, columns: Mapping[str, Columns], sizes: Mapping[str, int], tools: Tools) -> Found:
        whole = {name: joined(columns, name) for name in ("english", "verb", "noun")}
        table = Table(
            CLIENTS, "Instructions per client", "client", COLUMNS, {client: _row(found) for client, found in columns.items()}, _row(whole)
        )
        pairs = _pairs(whole)
        if not pairs:
            return Found((table,), (), ("No verb was found: of what is not English, none is looked for.",))
        verbs = Table("verbs", "Commonest verbs", "verb", OF_VERBS, _of_verbs(pairs))
        rings = Rings(
            "verbs",
            "Verbs and their nouns, all clients",
            "pale: other nouns, or none",
            {verb: _few(pairs[verb]) for verb in _commonest(pairs, VERBS)},
        )
        parts = tuple(_commonest(pairs, OF_CLIENTS))
        of_all = {**columns, ALL: whole}.items()
        counts = {client: [int((found["verb"] == verb).sum()) for verb in parts] for client, found in of_all}
        totals = {client: int((found["verb"] != "").sum()) for client, found in of_all}
        shares = Words("verbs_of_clients", "Verbs per client", "share of rows with a verb", parts, counts, totals)
        return Found((table, verbs), (rings, shares))


def _first(row: Conversation) -> str:
    return next((turn.content for turn in row.turns if turn.role == "user"), "")[:LONGEST]


@lru_cache(maxsize=1)
def _english() -> Any:
    return _spacy().load(english_folder(), exclude=["ner", "senter"])


def _spacy() -> Any:
    try:
        import spacy
    except ImportError:
        raise MissingExtraError("spaCy", "bench", "finding the verbs of instructions") from None
    return spacy


def _verb_and_noun(parsed: Any) -> tuple[str, str]:
    """The verb and the noun of the first sentence, in small letters as a dictionary has them; empty where there is none."""
    root = next((sentence.root for sentence in parsed.sents), None)
    if root is None or root.pos_ not in ("VERB", "AUX"):
        return "", ""
    nouns = {child.dep_: child.lemma_.lower() for child in reversed(list(root.children)) if child.pos_ in ("NOUN", "PROPN")}
    return root.lemma_.lower(), next((nouns[relation] for relation in RELATIONS if relation in nouns), "")


def _pairs(found: Columns) -> dict[str, dict[str, int]]:
    """verb -> noun -> rows; the noun of a verb without one is empty."""
    counts = Counter((str(verb), str(noun)) for verb, noun in zip(found["verb"], found["noun"], strict=True) if verb)
    pairs: dict[str, dict[str, int]] = {}
    for (verb, noun), count in sorted(counts.items(), key=lambda one: (-one[1], one[0])):
        pairs.setdefault(verb, {})[noun] = count
    return pairs


def _commonest(pairs: Mapping[str, Mapping[str, int]], count: int) -> list[str]:
    return sorted(pairs, key=lambda verb: (-sum(pairs[verb].values()), verb))[:count]


def _few(nouns: Mapping[str, int]) -> dict[str, int]:
    """The commonest nouns of a verb, and without a name the rows of all others."""
    few = {noun: nouns[noun] for noun in [noun for noun in nouns if noun][:NOUNS]}
    rest = sum(nouns.values()) - sum(few.values())
    return few | ({"": rest} if rest else {})


def _row(found: Columns) -> dict[str, Cell]:
    pairs = _pairs(found)
    english, rows = int(found["english"].sum()), sum(sum(nouns.values()) for nouns in pairs.values())
    five = sum(sum(pairs[verb].values()) for verb in _commonest(pairs, 5))
    return {
        "rows": len(found["verb"]),
        "english": english,
        "with_verb": rows / english if english else None,
        "verbs": len(pairs),
        "pairs": sum(noun != "" for nouns in pairs.values() for noun in nouns),
        "top": five / rows if rows else None,
    }


def _of_verbs(pairs: Mapping[str, Mapping[str, int]]) -> dict[str, dict[str, Cell]]:
    rows = sum(sum(nouns.values()) for nouns in pairs.values())
    found: dict[str, dict[str, Cell]] = {}
    for verb in _commonest(pairs, VERBS):
        count = sum(pairs[verb].values())
        nouns = [f"{noun} ({of_noun})" for noun, of_noun in pairs[verb].items() if noun][:NOUNS]
        found[verb] = {"rows": count, "share": count / rows, "nouns": ", ".join(nouns)}
    return found
