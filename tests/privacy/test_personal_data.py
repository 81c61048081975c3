"""Personal data: what is found and what is left, apart from each other, in short texts and long ones; and how much the model misses."""

import re
import sys

import numpy as np
import pytest
from made_texts import NOBODYS, of_others, of_people

from fedloom.errors import MissingExtraError, RecipeError
from fedloom.privacy import personal_data
from fedloom.privacy.personal_data import DEFAULT_KINDS, GENERAL, KINDS, LONGEST, Search, found_in, free_of


@pytest.fixture
def names(known_names):
    known_names("John Smith", "Anna Schmidt", "Parkinson", "SMAD4", "Crohn", "Rossi\nReason", "Baker Street", "4111 1111")


def shown(text, search=None):
    """(kind, value) of what is found in one text."""
    return [(one.kind, text[one.start : one.end]) for one in found_in([text], search)[0]]


@pytest.mark.usefixtures("names")
@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("MRN 00123456 was lost", [("RECORD_NUMBER", "00123456")]),
        ("MRN: 00 123 456", [("RECORD_NUMBER", "00 123 456")]),
        ("see record no. A-4711/23.", [("RECORD_NUMBER", "A-4711/23")]),
        ("Patient ID is 99-1234, case #4711", [("RECORD_NUMBER", "99-1234"), ("RECORD_NUMBER", "4711")]),
        ("account 1234567", [("RECORD_NUMBER", "1234567")]),
        ("the case of 24 bottles, patient 7 of 12, in record time: 9", []),
        ("at 12 Baker Street, London NW1 6XE.", [("STREET_ADDRESS", "12 Baker Street, London NW1 6XE")]),
        ("221 5th Avenue, Apt 4B, Springfield, IL 62704", [("STREET_ADDRESS", "221 5th Avenue, Apt 4B, Springfield, IL 62704")]),
        ("P.O. Box 118 is mine", [("STREET_ADDRESS", "P.O. Box 118")]),
        ("5 patients on their way to the street", []),
        ("born on 3 May 1961, DOB: 1975-08-30", [("BIRTH_DATE", "3 May 1961"), ("BIRTH_DATE", "1975-08-30")]),
        ("founded on 3 May 1961", []),
        ("ask ann@example.org or +44 20 7946 0958", [("EMAIL_ADDRESS", "ann@example.org"), ("PHONE_NUMBER", "+44 20 7946 0958")]),
        ("ann@nowhere.notadomain", []),
        ("card 4111 1111 1111 1111", [("CREDIT_CARD", "4111 1111 1111 1111")]),
        ("card 4111 1111 1111 1112", []),
        ("John Smith's letter", [("PERSON", "John Smith")]),
        ("Rossi\nReason: pain", [("PERSON", "Rossi"), ("PERSON", "Reason")]),
        ("Crohn's disease, SMAD4", []),
        ("Mr Crohn and a disease", [("PERSON", "Crohn")]),
        ("", []),
    ],
)
def test_what_is_found(text, found):
    assert shown(text) == found


@pytest.mark.usefixtures("names")
def test_of_what_overlaps_the_surer_is_whole_and_the_rest_stands_beside_it():
    assert shown("John Smith 12 Baker Street") == [("PERSON", "John Smith"), ("STREET_ADDRESS", "12 Baker Street")]
    search = Search(("PERSON",), patterns={"HOUSE": r"\d+ Baker"})
    assert shown("12 Baker Street", search) == [("HOUSE", "12 Baker"), ("PERSON", "Street")]


def test_what_is_not_taken_is_free():
    assert free_of(0, 10, []) == [(0, 10)]
    assert free_of(0, 10, [(8, 12), (2, 4)]) == [(0, 2), (4, 8)]
    assert free_of(3, 10, [(0, 5), (10, 12)]) == [(5, 10)]
    assert free_of(2, 4, [(0, 9)]) == []


@pytest.mark.usefixtures("names")
def test_placeholders_and_what_is_kept_are_not_found():
    assert shown("[PERSON_K7QF2D3A] met [RECORD_NUMBER_AAAAAAAA]", Search(patterns={"WORD": r"[A-Z]{5,}"})) == []
    assert shown("Parkinson met John Smith") == [("PERSON", "Parkinson"), ("PERSON", "John Smith")]
    assert shown("Parkinson met John Smith", Search(keep=["parkinson", "Smith"])) == [("PERSON", "John Smith")]


@pytest.mark.usefixtures("names")
def test_only_the_kinds_that_are_asked_for_are_found_with_enough_confidence():
    text = "John Smith, 212-555-0187"
    assert shown(text, Search(("PHONE_NUMBER",))) == [("PHONE_NUMBER", "212-555-0187")]
    assert shown(text, Search(("PHONE_NUMBER",), score=0.9)) == []
    assert shown(text, Search(())) == []
    assert set(DEFAULT_KINDS) == set(KINDS) - set(GENERAL)


@pytest.mark.usefixtures("names")
def test_a_long_text_is_read_in_parts_and_nothing_is_shifted():
    text = "".join(f"{'word ' * 37}John Smith\n" if number % 2 else "none \n" for number in range(400))
    assert len(text) > 2 * LONGEST
    found = found_in(["", text, "Anna Schmidt"])
    assert [len(one) for one in found] == [0, 200, 1]
    assert {text[one.start : one.end] for one in found[1]} == {"John Smith"}
    assert shown("x" * (LONGEST + 5) + " Anna Schmidt") == [("PERSON", "Anna Schmidt")]


@pytest.mark.usefixtures("names")
def test_nothing_is_asked_of_the_network(monkeypatch):
    import socket

    def refused(*_, **__):
        raise AssertionError("the network was asked")

    monkeypatch.setattr(socket.socket, "connect", refused)
    monkeypatch.setattr(socket, "getaddrinfo", refused)
    personal_data._analyzer.cache_clear()
    assert shown("ann@example.co.uk") == [("EMAIL_ADDRESS", "ann@example.co.uk")]


@pytest.mark.parametrize(
    ("settings", "problem"),
    [
        ({"kinds": ["PERSN"]}, "kinds: unknown kind of personal data 'PERSN'; did you mean 'PERSON'?"),
        ({"patterns": {"TICKET": "(a"}}, "patterns.TICKET: is no regular expression (missing ), unterminated subpattern at position 0)"),
        ({"patterns": {"TICKET": "a*"}}, "patterns.TICKET: matches an empty text, and so everywhere; write one that needs a character"),
        ({"patterns": {"ticket": "a"}}, "patterns.ticket: is no name of a kind of your own; write capital letters, such as TICKET"),
        ({"patterns": {"PERSON": "a"}}, "patterns.PERSON: is no name of a kind of your own; write capital letters, such as TICKET"),
    ],
)
def test_a_wrong_search_is_one_line(settings, problem):
    with pytest.raises(RecipeError, match=f"^{re.escape(problem)}$"):
        Search(**settings)


@pytest.mark.parametrize("library", ["presidio_analyzer", "spacy"])
def test_a_missing_library_names_its_extra(monkeypatch, library):
    monkeypatch.setitem(sys.modules, library, None)
    with pytest.raises(MissingExtraError, match=r"fedloom\[scrub\]"):
        found_in(["a"])


def recall(rows):
    """kind -> (texts in which every letter and figure of the value is covered, texts)."""
    found, counts = found_in([text for text, _, _ in rows]), {}
    for (text, kind, value), spans in zip(rows, found, strict=True):
        begin = text.index(value)
        covered = {place for one in spans for place in range(one.start, one.end)}
        counted = str.isalnum if kind in ("PERSON", "EMAIL_ADDRESS") else str.isdigit
        whole = all(begin + place in covered for place, letter in enumerate(value) if counted(letter))
        right, texts = counts.get(kind, (0, 0))
        counts[kind] = (right + whole, texts + 1)
    return counts


@pytest.mark.slow
def test_most_of_a_made_set_is_found_and_little_else():
    assert recall(of_people())["PERSON"] == (52, 60)
    others = recall(of_others())
    assert {kind: found for kind, found in others.items() if found[0] < found[1]} == {"STREET_ADDRESS": (7, 9), "BIRTH_DATE": (4, 5)}
    assert sum(texts for _, texts in others.values()) == 40
    assert sum(map(len, found_in(NOBODYS))) == 1


@pytest.mark.slow
def test_a_text_is_read_alike_alone_and_among_others():
    language = personal_data._language()
    texts = [text for text, _, _ in (*of_people(), *of_others())]
    together = [document.tensor for document in language.pipe(texts, batch_size=personal_data.BATCH)]
    assert all(np.array_equal(language(text).tensor, tensor) for text, tensor in zip(texts, together, strict=True))
