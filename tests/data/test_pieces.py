"""Pieces: whole sentences up to a number of tokens, which together are the document, and know where they stand in it."""

import gc
import hashlib
import random
import textwrap
import weakref

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fedloom.data.pieces import pieces_of
from fedloom.data.records import Document, Mark, Provenance
from fedloom.models.load import load_model
from fedloom.recipe import ModelRecipe


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


def test_with_overlap_as_many_sentences_come_along_as_fit():
    found = pieces("One two. Three. Four five. Six seven eight nine ten. Eleven.", 9, overlap=4)
    assert [piece.text for piece in found][1] == "Three. Four five. Six seven eight nine ten."


def one_line(found):
    return [" ".join(piece.text.split()) for piece in found]


@pytest.mark.parametrize(
    "wrap",
    [
        lambda text: textwrap.fill(text, 24),
        lambda text: textwrap.fill(text, 24, subsequent_indent="    "),
        lambda text: textwrap.fill(text, 24).replace("\n", "\r\n"),
        lambda text: textwrap.fill(text, 24).replace("\n", "  \n"),
        lambda text: text.replace("two", " two").replace(". ", ".  "),
        lambda text: text.replace(" six", "\tsix").replace("ten ", "ten\xa0 "),
    ],
)
@pytest.mark.parametrize("overlap", [0, 4])
def test_wrapped_lines_and_wide_spaces_do_not_change_where_a_text_is_cut(wrap, overlap):
    text = " ".join([TEXT] * 5)
    assert wrap(text) != text
    assert one_line(pieces(wrap(text), 12, overlap)) == one_line(pieces(text, 12, overlap))


@pytest.mark.parametrize(
    "lines",
    [
        ["An introduction without end", "- one two three four", "- five six seven", "* eight nine ten"],
        ["An introduction without end", "1. one two three four", "22) five six seven"],
        ["# A heading of words", "and text that goes", "## Another heading of words"],
        ["| one | two |", "| --- | --- |", "| a | b |", "a paragraph of words"],
        ["some words before it", "```", "if code: go on", "for a while", "```", "some words after it"],
        ["Title of a chapter", "------------", "and words of it"],
    ],
)
def test_lines_that_are_no_part_of_a_paragraph_are_not_cut(lines):
    found = pieces("\n".join(lines), 6)
    assert len(found) > 1
    assert [line for piece in found for line in piece.text.split("\n")] == lines


def test_paragraphs_are_kept_whole_where_they_fit():
    text = "One two\nthree.\n \nFour five. Six\nseven.\n\n\nEight."
    assert [piece.text for piece in pieces(text, 5)] == ["One two\nthree.", "Four five. Six\nseven.", "Eight."]


def test_text_before_the_first_mark_has_no_place():
    assert "place" not in pieces("Preface here. Body.", 2, marks=(Mark(14, "Body"),))[0].fields


@settings(deadline=None, max_examples=60)
@given(
    st.lists(st.sampled_from(["a", "bb", "ccc.", "d!", "\n", "\n\n", "  ", "- f", "# g", "ee?", "é,"]), max_size=60),
    st.integers(4, 12),
    st.integers(0, 1),
)
def test_pieces_without_overlap_are_the_document_and_none_is_longer_than_the_budget(parts, longest, overlap):
    text = " ".join(parts)
    found = pieces(text, longest, overlap)
    for piece in found:
        begin = int(piece.fields["offset"])
        assert text[begin : begin + len(piece.text)] == piece.text
        assert len(piece.text.split()) <= longest
    if not overlap:
        assert "".join("".join(piece.text for piece in found).split()) == "".join(text.split())


@pytest.fixture(scope="module")
def bpe():
    return load_model(ModelRecipe(id="tiny-llama", device="cpu")).tokenizer


@pytest.mark.parametrize(("longest", "overlap"), [(16, 7), (16, 0), (12, 5), (40, 15)])
def test_no_piece_has_more_tokens_than_the_budget_whatever_the_tokenizer_joins(bpe, longest, overlap):
    stream = random.Random(0)
    parts = ["the", "copper", "treatment", "é", "naïve", "3.5", "U.S.", "of", "(or", "not)", "x", "-", "quick!", "end.", "Why?", "so,"]
    for _ in range(150):
        words = stream.choices(parts, k=stream.randint(1, 90))
        text = "".join(word + stream.choice([" ", " ", " ", "  ", "\n", "\n\n", "\t", "\n- "]) for word in words)
        for piece in pieces_of(Document(text, Provenance.PUBLIC), bpe, longest, overlap):
            begin = int(piece.fields["offset"])
            assert text[begin : begin + len(piece.text)] == piece.text == piece.text.strip()
            assert len(bpe(piece.text, add_special_tokens=False)["input_ids"]) <= longest


def test_nothing_is_held_of_a_text_that_has_been_cut():
    tokenizer = Words()
    held = weakref.ref(tokenizer)
    assert list(pieces_of(Document(TEXT, Provenance.PRIVATE), tokenizer, 8, 3))
    del tokenizer
    gc.collect()
    assert held() is None


@pytest.mark.parametrize("text", ["", " \n ", "short"])
def test_a_text_without_a_sentence_is_one_piece_or_none(text):
    assert [piece.text for piece in pieces(text, 8)] == ([text] if text.strip() else [])
