"""The language of short texts, the same each time."""

import sys
from types import SimpleNamespace

import numpy as np
import pytest

from fedloom.bench.diversity import Language
from fedloom.bench.diversity.language import UNKNOWN, _detector, languages_of
from fedloom.data.records import Conversation, Provenance, Turn
from fedloom.errors import MissingExtraError

SHORT = {
    "ar": ("ما هي عاصمة فرنسا؟", "عاصمة فرنسا هي باريس."),
    "en": ("What is the capital of France?", "The capital of France is Paris."),
    "es": ("¿Cuál es la capital de Francia?", "La capital de Francia es París."),
    "fr": ("Quelle est la capitale de la France ?", "La capitale de la France est Paris."),
    "pt": ("Qual é a capital da França?", "A capital da França é Paris."),
    "ru": ("Какой город является столицей Франции?", "Столица Франции - это город Париж."),
    "te": ("ఫ్రాన్స్ రాజధాని ఏది?", "ఫ్రాన్స్ రాజధాని పారిస్."),
    "zh": ("法国的首都是哪里？", "法国的首都是巴黎。"),
}


def row(asked, answer):
    return Conversation((Turn("user", asked), Turn("assistant", answer)), Provenance.PUBLIC)


def test_the_languages_of_fed_aya_are_told_from_one_question():
    rows = [row(*texts) for texts in SHORT.values()]
    assert languages_of(rows) == list(SHORT)
    assert languages_of(rows[::-1]) == list(SHORT)[::-1]


@pytest.mark.parametrize("text", ["17", "B", "12 + 30 = 42"])
def test_what_is_no_text_has_no_language(text):
    assert languages_of([row(text, text)]) == [UNKNOWN]


def test_the_table_counts_every_language_of_every_client():
    columns = {"a": {"language": np.array(["en", "en", "fr"])}, "b": {"language": np.array(["ru", UNKNOWN])}}
    found = Language().found(columns, {"a": 3, "b": 2}, SimpleNamespace())
    table, chart = found.tables[0], found.charts[0]
    assert table.rows["a"] == {"rows": 3, "languages": 2, "commonest": 2 / 3, "en": 2, "fr": 1, "ru": 0, UNKNOWN: 0}
    assert table.rows["b"] == {"rows": 2, "languages": 1, "commonest": 0.5, "en": 0, "fr": 0, "ru": 1, UNKNOWN: 1}
    assert table.total["languages"] == 3
    assert chart.parts == ("en", "fr", "ru", UNKNOWN)
    assert chart.counts["all clients"] == [2, 1, 1, 1]


def test_a_missing_detector_names_its_extra(monkeypatch):
    monkeypatch.setitem(sys.modules, "py3langid.langid", None)
    _detector.cache_clear()
    with pytest.raises(MissingExtraError, match=r"fedloom\[bench\]"):
        languages_of([row("a", "b")])
