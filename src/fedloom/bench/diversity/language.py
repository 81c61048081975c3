"""Language: which one each row is written in, by py3langid, a naive Bayes model that comes in its package (Lui and Baldwin 2012).

It gives the same language for a text each time, and needs no network.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from importlib.metadata import version
from typing import Any, ClassVar

import numpy as np

from fedloom.bench.diversity.base import Analysis, Columns, Tools, analyses, answered, asked
from fedloom.bench.diversity.found import ALL, CLIENTS, Cell, Found, Shares, Table, joined
from fedloom.data.records import Conversation
from fedloom.errors import MissingExtraError
from fedloom.measures import SHARE, Measure, counted

UNKNOWN = "und"
"""The language of a text that is too short or no text, such as a number: ISO 639's code for undetermined."""
CONFIDENCE = 0.2
"""The least probability with which a language is named."""
SHOWN = 10
"""Languages that the table and the picture name."""

LANGUAGES = counted("languages", "languages")
COMMONEST = Measure("commonest", "share of the commonest", SHARE, "neither")
ROWS = counted("rows", "rows")


@analyses.register("language")
@dataclass(frozen=True)
class Language(Analysis):
    """The language of each row, instruction and response together."""

    title: ClassVar[str] = "Language"
    about: ClassVar[str] = (
        "The language of a row, instruction and response together, as ISO 639 calls it. Rows of a few letters or of numbers alone are"
        f" {UNKNOWN}, undetermined."
    )

    def made_with(self, tools: Tools) -> Any:
        return versions()

    def values(self, rows: Sequence[Conversation], tools: Tools) -> Columns:
        return {"language": np.array(languages_of(rows), dtype=str)}

    def found(self, columns: Mapping[str, Columns], sizes: Mapping[str, int], tools: Tools) -> Found:
        counts = {client: Counter(map(str, found["language"])) for client, found in columns.items()}
        total = Counter(map(str, joined(columns, "language")))
        shown = [language for language, _ in sorted(total.items(), key=lambda one: (-one[1], one[0]))[:SHOWN]]
        heads = (ROWS, LANGUAGES, COMMONEST, *(counted(language, language) for language in shown))
        rows = {client: _row(found, total) for client, found in counts.items()}
        table = Table(CLIENTS, "Languages per client", "client", heads, rows, _row(total, total))
        parts = {client: [found[language] for language in shown] for client, found in {**counts, ALL: total}.items()}
        totals = {**sizes, ALL: total.total()}
        chart = Shares("languages", "Languages", "share of the client's rows", tuple(shown), parts, totals)
        return Found((table,), (chart,))


def languages_of(rows: Sequence[Conversation]) -> list[str]:
    """The language of each row: ISO 639 code, or `UNKNOWN`. Raises MissingExtraError without the extra `bench`."""
    return [_language(f"{asked(row)}\n{answered(row)}") for row in rows]


def versions() -> dict[str, str]:
    """What decides a language."""
    _detector()
    return {"py3langid": version("py3langid")}


def _language(text: str) -> str:
    found, _ = _detector().classify(text)
    return UNKNOWN if found == "zxx" else str(found)


@lru_cache(maxsize=1)
def _detector() -> Any:
    try:
        from py3langid.langid import MODEL_FILE, LanguageIdentifier
    except ImportError:
        raise MissingExtraError("py3langid", "bench", "telling the language of a row") from None
    return LanguageIdentifier.from_model_file(MODEL_FILE, norm_probs=True, min_confidence=CONFIDENCE)


def _row(counts: Counter[str], known: Counter[str]) -> dict[str, Cell]:
    """Rows, languages, share of the commonest, and the rows of each language that any client has."""
    rows = counts.total()
    named = {language: count for language, count in counts.items() if language != UNKNOWN}
    most = max(named.values(), default=0) / rows
    return {"rows": rows, "languages": len(named), "commonest": most, **{language: counts[language] for language in sorted(known)}}
