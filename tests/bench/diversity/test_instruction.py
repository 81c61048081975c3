"""Root verbs and their nouns. What spaCy's parser would say is written by hand: its model is a download."""

import sys
from types import SimpleNamespace

import pytest
import spacy
from spacy.tokens import Doc

from fedloom.bench.diversity import Instruction, instruction, language
from fedloom.bench.diversity.instruction import _english, _verb_and_noun
from fedloom.data.records import Conversation, Provenance, Turn
from fedloom.errors import MissingExtraError

BLANK = spacy.blank("en").vocab


def parsed(*words):
    """A text of (word, lemma, part of speech, relation, place of its head)."""
    texts, lemmas, pos, deps, heads = zip(*words, strict=True)
    return Doc(BLANK, list(texts), lemmas=list(lemmas), pos=list(pos), deps=list(deps), heads=list(heads))


WRITE = parsed(("Write", "write", "VERB", "ROOT", 0), ("a", "a", "DET", "det", 2), ("poem", "poem", "NOUN", "dobj", 0))
WHAT = parsed(("What", "what", "PRON", "attr", 1), ("are", "be", "AUX", "ROOT", 1), ("symptoms", "symptom", "NOUN", "nsubj", 1))
TELL = parsed(("Tell", "tell", "VERB", "ROOT", 0), ("me", "I", "PRON", "dative", 0), ("Jokes", "Joke", "PROPN", "dobj", 0))
AFFECT = parsed(("people", "people", "NOUN", "nsubjpass", 2), ("are", "be", "AUX", "auxpass", 2), ("affected", "affect", "VERB", "ROOT", 2))
NAME = parsed(("Headache", "headache", "NOUN", "ROOT", 0))
RUN = parsed(("Dogs", "dog", "NOUN", "nsubj", 1), ("chase", "chase", "VERB", "ROOT", 1), ("cats", "cat", "NOUN", "dobj", 1))
PARSED = {"Write": WRITE, "What": WHAT, "Tell": TELL, "people": AFFECT, "Headache": NAME, "Dogs": RUN}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (WRITE, ("write", "poem")),
        (WHAT, ("be", "symptom")),
        (TELL, ("tell", "joke")),
        (AFFECT, ("affect", "people")),
        (RUN, ("chase", "cat")),
        (NAME, ("", "")),
        (Doc(BLANK, []), ("", "")),
    ],
)
def test_the_noun_is_the_object_else_what_something_is_else_the_subject(text, expected):
    assert _verb_and_noun(text) == expected


@pytest.fixture
def parser(monkeypatch):
    """Gives the hand-written parse of the first word of a text, and says what it was asked."""
    asked = []

    def pipe(texts, batch_size):
        asked.extend(texts)
        return [PARSED.get(text.split(" ")[0], Doc(BLANK, [])) for text in texts]

    monkeypatch.setattr(instruction, "_english", lambda: SimpleNamespace(pipe=pipe))
    monkeypatch.setattr(language, "languages_of", lambda rows: ["hr" if "Koja" in row.turns[0].content else "en" for row in rows])
    return asked


def rows(*texts):
    return [Conversation((Turn("user", text), Turn("assistant", "a")), Provenance.PUBLIC) for text in texts]


def found_of(clients):
    columns = {client: Instruction().values(rows(*texts), SimpleNamespace()) for client, texts in clients.items()}
    return Instruction().found(columns, {client: len(texts) for client, texts in clients.items()}, SimpleNamespace())


def test_rows_in_other_languages_are_counted_and_not_read(parser):
    found = found_of({"a": ["Write a poem", "Koja je", "Write a letter", "Headache"], "b": ["What are symptoms"]})
    assert "Koja je" not in parser
    assert found.tables[0].rows["a"] == {"rows": 4, "english": 3, "with_verb": 2 / 3, "verbs": 1, "pairs": 1, "top": 1.0}
    assert found.tables[0].total == {"rows": 5, "english": 4, "with_verb": 3 / 4, "verbs": 2, "pairs": 2, "top": 1.0}
    assert found.tables[1].rows == {
        "write": {"rows": 2, "share": 2 / 3, "nouns": "poem (2)"},
        "be": {"rows": 1, "share": 1 / 3, "nouns": "symptom (1)"},
    }
    rings, shares = found.charts
    assert rings.words == {"write": {"poem": 2}, "be": {"symptom": 1}}
    assert (shares.parts, shares.counts, shares.totals["all clients"]) == (
        ("write", "be"),
        {"a": [2, 0], "b": [0, 1], "all clients": [2, 1]},
        3,
    )
    assert all(chart.shows_rows for chart in found.charts)


def test_data_without_a_verb_have_no_picture(parser):
    found = found_of({"a": ["Koja je", "Headache"]})
    assert found.charts == ()
    assert [table.name for table in found.tables] == ["clients"]


def test_a_missing_library_names_its_extra(monkeypatch):
    monkeypatch.setitem(sys.modules, "spacy", None)
    with pytest.raises(MissingExtraError, match=r"spaCy.*fedloom\[bench\]"):
        Instruction().made_with(SimpleNamespace())


@pytest.mark.slow
def test_the_real_parser_reads_orders_and_questions():
    _english.cache_clear()
    texts = ["Write a poem about the sea.", "What are the symptoms of Glaucoma?", "Please explain the theory of relativity to me."]
    found = [_verb_and_noun(text) for text in _english().pipe(texts)]
    assert found == [("write", "poem"), ("be", "symptom"), ("explain", "theory")]
