"""The scan finds a planted run of eight words wherever it stands, tells where and how many, and never what."""

from __future__ import annotations

import json

import pytest

from fedloom.data.records import Conversation, Document, Provenance, Turn
from fedloom.privacy.scan import found_in_files, grams_of, said_in, texts_of

SECRET = "The patient Ørsted came on Monday with a fever and was sent home"
GRAMS = grams_of([SECRET])


def test_a_text_has_a_run_for_every_eight_words_in_a_row():
    assert len(GRAMS) == 6
    assert grams_of(["one two three four five six seven"]) == frozenset()
    assert grams_of(["One, two; three four\nfive six-seven EIGHT!"]) == {("one", "two", "three", "four", "five", "six", "seven", "eight")}


def test_all_texts_of_records_are_looked_at():
    turns = (Turn("system", "a"), Turn("user", "b"), Turn("assistant", "c"))
    rows = [Conversation(turns, Provenance.PRIVATE, {}, ("d",), "e"), Document("f", Provenance.PRIVATE)]
    assert list(texts_of(rows)) == ["a", "b", "c", "d", "e", "f"]


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("report.html", f"<p>Notes: <b>{SECRET.replace(' with ', '</b> <i>with</i>&nbsp;')}</p>"),
        ("asked.jsonl", json.dumps({"prompt": SECRET.replace(" ", "\n", 3)}) + "\n"),
        ("recipe.yaml", f"note: >\n  {SECRET.replace(' on ', chr(10) + '  on ')}\n"),
        ("deep/down/any.txt", SECRET.upper()),
    ],
)
def test_a_planted_text_is_found_by_file_and_count(name, content, tmp_path):
    (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
    (tmp_path / name).write_text(content)
    (tmp_path / "clean.txt").write_text("The patient came on Monday; with a fever he was sent home.")
    (tmp_path / "weights.bin").write_bytes(b"\0\1" + SECRET.encode())
    searched, hits = found_in_files(GRAMS, tmp_path)
    assert searched == 2, "what is no text is not searched"
    assert list(hits) == [name]
    assert hits[name] >= 5
    assert "fever" not in json.dumps(hits)


def test_what_was_asked_is_not_counted_as_said():
    half = " ".join(SECRET.split()[:9])
    assert said_in(GRAMS, [SECRET, half, "nothing", SECRET], ["?", half, "?", SECRET]) == 1
