"""The scan finds a planted run of eight words wherever it stands, tells where and how many, and never what."""

from __future__ import annotations

import json

import numpy as np
import pytest

from fedloom.data.records import Conversation, Document, Provenance, Turn
from fedloom.privacy.scan import _runs, found_in_files, grams_of, said_in, texts_of

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
    searched, hits = found_in_files(GRAMS, tmp_path)
    assert searched == 2
    assert list(hits) == [name]
    assert hits[name] >= 5
    assert "fever" not in json.dumps(hits)


@pytest.mark.parametrize("kept", [SECRET, json.dumps({"note": SECRET}), f"<i>{SECRET}</i>"])
@pytest.mark.parametrize("place", [0, 1001, 3000])
def test_a_text_among_weights_is_found(kept, place, tmp_path, monkeypatch):
    """The file is read in pieces, and the text lies in one of them, across two, and at the end."""
    monkeypatch.setattr("fedloom.privacy.scan.PIECE", 1024)
    monkeypatch.setattr("fedloom.privacy.scan.OVERLAP", 256)
    weights = np.zeros(750, dtype=np.float32).tobytes()
    (tmp_path / "model.safetensors").write_bytes(weights[:place] + kept.encode() + weights[place:])
    (tmp_path / "noise.bin").write_bytes(np.random.default_rng(0).bytes(5000))
    assert found_in_files(GRAMS, tmp_path) == (2, {"model.safetensors": 6})


def test_runs_of_text_are_whole_letters_and_white_space():
    assert list(_runs("one Ørsted\n名前 word 😀".encode() + b"\0short\0\xc3" + b"a tab\tand a return\r" + b"\xe0\x80")) == [
        "one Ørsted\n名前 word 😀".encode(),
        b"a tab\tand a return\r",
    ]


def test_what_was_asked_is_not_counted_as_said():
    half = " ".join(SECRET.split()[:9])
    assert said_in(GRAMS, [SECRET, half, "nothing", SECRET], ["?", half, "?", SECRET]) == 1
