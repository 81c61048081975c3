"""Pieces: whole sentences up to a number of tokens, which together are the document, and know where they stand in it."""

import hashlib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fedloom.data.pieces import pieces_of
from fedloom.data.records import Document, Mark, Provenance


class Words:
    """A tokenizer whose tokens are words."""

    def __call__(self, text, **_):
        return {"input_ids": text.split()}


TEXT = "One two three. Four five six seven. Eight nine. Ten eleven twelve thirteen. Fourteen."


def pieces(text, longest, overlap=0, marks=(), **fields):
    return list(pieces_of(Document(text, Provenance.PRIVATE, fields, marks), Words(), longest, overlap))


def test_pieces_are_whole_sentences_up_to_the_budget():
    assert [piece.text for piece in pieces(TEXT, 8)] == [
        "One two three. Four five six seven.",
        "Eight nine. Ten eleven twelve thirteen. Fourteen.",
    ]


def test_a_piece_knows_its_file_its_place_its_offset_and_its_hash():
    marks = (Mark(0, "page 1"), Mark(TEXT.index("Eight"), "page 2"))
    first, second = pieces(TEXT, 8, marks=marks, file="a.pdf", client="ann")
    assert first.fields["place"] == "page 1"
    assert (second.fields["file"], second.fields["client"], second.fields["place"]) == ("a.pdf", "ann", "page 2")
    assert int(second.fields["offset"]) == TEXT.index("Eight")
    assert second.fields["sha256"] == hashlib.sha256(second.text.encode()).hexdigest()
    assert second.provenance is Provenance.PRIVATE
    assert second.marks == ()


def test_with_overlap_a_piece_begins_with_the_last_sentence_of_the_one_before():
    found = pieces(TEXT, 9, overlap=4)
    assert [piece.text for piece in found][:2] == ["One two three.", "One two three. Four five six seven."]
    for piece in found:
        begin = int(piece.fields["offset"])
        assert TEXT[begin : begin + len(piece.text)] == piece.text
        assert len(piece.text.split()) <= 9


def test_text_before_the_first_mark_has_no_place():
    assert "place" not in pieces("Preface here. Body.", 2, marks=(Mark(14, "Body"),))[0].fields


@settings(deadline=None, max_examples=60)
@given(st.lists(st.sampled_from(["a", "bb", "ccc.", "d!", "\n", "\n\n", "ee?", "é,"]), max_size=60), st.integers(4, 12), st.integers(0, 1))
def test_pieces_without_overlap_are_the_document_and_none_is_longer_than_the_budget(parts, longest, overlap):
    text = " ".join(parts)
    found = pieces(text, longest, overlap)
    for piece in found:
        begin = int(piece.fields["offset"])
        assert text[begin : begin + len(piece.text)] == piece.text
        assert len(piece.text.split()) <= longest
    if not overlap:
        assert "".join("".join(piece.text for piece in found).split()) == "".join(text.split())


@pytest.mark.parametrize("text", ["", " \n ", "short"])
def test_a_text_without_a_sentence_is_one_piece_or_none(text):
    assert [piece.text for piece in pieces(text, 8)] == ([text] if text.strip() else [])
