"""Bodies of messages: each is read as it was written, and anything else is refused with the reason."""

from dataclasses import replace

import pytest

from fedloom.data.records import Conversation, Document, Provenance, Turn
from fedloom.errors import PrivateDataError, RefusedMessageError
from fedloom.federation.bodies import (
    LONGEST_REASON,
    LONGEST_TEXT,
    MOST_COUNTS,
    MOST_SAMPLES,
    Failure,
    Holding,
    Kept,
    Sample,
    Samples,
    Sent,
    Terms,
    WrittenPair,
)

PICTURE = {"label": "cat", "made": "no", "size": "1 1 3", "pixels": "AAAA"}
SAMPLE = {"system": "", "prompt": "question?", "reference": "right", "before": "wrong", "after": "right"}
LARGEST = (1 << 53) - 1
NO_NAME = "a number in a message has no short name (small letters, digits and _ / . -); name it so"


def counts(how_many):
    return {"public": dict.fromkeys(map(str, range(how_many)), 1)}


@pytest.mark.parametrize(
    "body",
    [
        Terms({"seed": 1}),
        Holding({"train": 6, "held_out": 2.0}, {"values": {"east": 0, "west": LARGEST}}),
        Kept({"public": {"kept": 4, "too_long": 2}}),
        Kept(counts(MOST_COUNTS)),
        Samples((Sample(**SAMPLE),)),
        Samples((Sample(**SAMPLE),) * MOST_SAMPLES),
        Failure("it has no rows"),
        Failure("x" * LONGEST_REASON),
    ],
    ids=["terms", "holding", "kept", "most counts", "samples", "most samples", "failure", "longest failure"],
)
def test_a_body_is_read_as_it_was_written(body):
    assert type(body).read(body.plain()) == body


@pytest.mark.parametrize(
    ("kind", "plain", "reason"),
    [
        (Terms, [1], "its terms are no JSON object"),
        (Holding, [], "its holding is not readable"),
        (Holding, {"numbers": {}}, "its holding is not readable"),
        (Holding, {"numbers": {}, "counts": {}, "rows": ["text"]}, "its holding is not readable"),
        (Holding, {"numbers": [1], "counts": {}}, "its numbers are no JSON object"),
        (Holding, {"numbers": {"train": True}, "counts": {}}, "report 'train' is no number"),
        (Holding, {"numbers": {"train": "six"}, "counts": {}}, "report 'train' is no number"),
        (Holding, {"numbers": {"train": float("nan")}, "counts": {}}, "report 'train' is not finite"),
        (Kept, [], "its counts are not readable"),
        (Kept, {"public": 4}, "its counts are not readable"),
        (Kept, {"public": {"kept": 1}, "private": [1]}, "its counts are not readable"),
        (Kept, {"public": {"kept": -1}}, "one of its counts is no whole number of rows"),
        (Kept, {"public": {"kept": 1.0}}, "one of its counts is no whole number of rows"),
        (Kept, {"public": {"kept": True}}, "one of its counts is no whole number of rows"),
        (Kept, {"public": {"kept": LARGEST + 1}}, "one of its counts is no whole number of rows"),
        (Kept, counts(MOST_COUNTS) | {"private": {"kept": 1}}, "it counts more than 100000 values"),
        (Kept, {"left_out": {"kept": 1}}, "what became of rows is counted by provenance, and one of the counts has another name"),
        (Kept, {"public": {"What is my diagnosis?": 1}}, NO_NAME),
        (Holding, {"numbers": {"What is my diagnosis?": 1}, "counts": {}}, NO_NAME),
        (Holding, {"numbers": {}, "counts": {"What is my diagnosis?": {}}}, NO_NAME),
        (Samples, [SAMPLE], "its samples are not readable"),
        (Samples, {"items": [SAMPLE]}, "its samples are not readable"),
        (Samples, {"items": {"prompt": "question?"}, "pairs": [], "pictures": []}, "its samples are no list, or too many"),
        (Samples, {"items": [SAMPLE] * (MOST_SAMPLES + 1), "pairs": [], "pictures": []}, "its samples are no list, or too many"),
        (Samples, {"items": ["text"], "pairs": [], "pictures": []}, "a sample is not readable"),
        (Samples, {"items": [SAMPLE, {"prompt": "question?"}], "pairs": [], "pictures": []}, "a sample is not readable"),
        (Samples, {"items": [SAMPLE | {"more": "text"}], "pairs": [], "pictures": []}, "a sample is not readable"),
        (Samples, {"items": [SAMPLE | {"after": 7}], "pairs": [], "pictures": []}, "a sample is not readable"),
        (Samples, {"items": [], "pairs": [SAMPLE], "pictures": []}, "a sample is not readable"),
        *(
            (Samples, {"items": [], "pairs": [], "pictures": [PICTURE | wrong]}, "a picture is not readable")
            for wrong in (
                {"size": "0 4 1", "pixels": ""},
                {"size": "2 1 1"},
                {"size": "1 65 1"},
                {"size": "1 1 2"},
                {"pixels": "?"},
                {"size": "²"},
            )
        ),
        (Sent, [], "the rows that it sends are not readable"),
        (Sent, {"0": [{"turns": [["user", 7]], "fields": {}}]}, "the rows that it sends are not readable"),
        (Sent, {"0": [{"turns": [["user", "a", "b"]], "fields": {}}]}, "the rows that it sends are not readable"),
        (Sent, {"0": [{"turns": [], "fields": {"document": 7}}]}, "the rows that it sends are not readable"),
        (Sent, {"0": 7}, "the rows that it sends are not readable"),
        (Failure, {"reason": "text"}, "its reason is no text"),
    ],
)
def test_a_body_that_is_not_what_its_kind_holds_is_refused(kind, plain, reason):
    with pytest.raises((RefusedMessageError, PrivateDataError)) as caught:
        kind.read(plain)
    assert str(caught.value) == reason


def test_long_texts_are_cut_by_who_sends_and_by_who_reads():
    long = SAMPLE | {"after": "a" * (LONGEST_TEXT + 1)}
    assert [len(item["after"]) for item in Samples((Sample(**long),)).plain()["items"]] == [LONGEST_TEXT]
    assert [len(item.after) for item in Samples.read({"items": [long], "pairs": [], "pictures": []}).items] == [LONGEST_TEXT]
    reason = "x" * LONGEST_REASON + "y"
    assert Failure(reason).plain() == Failure.read(reason).reason == "x" * LONGEST_REASON + "..."


def test_public_rows_are_sent_whole_and_no_others():
    row = Conversation((Turn("user", "a?"), Turn("assistant", "b")), Provenance.PUBLIC, {"document": "c"})
    assert Sent.read(Sent.of({"0": [row]}).plain()).rows == {"0": (row,)}
    for provenance in set(Provenance) - {Provenance.PUBLIC}:
        with pytest.raises(PrivateDataError, match="the server sends public rows only"):
            Sent.of({"0": [replace(row, provenance=provenance)]})


def test_pairs_are_shown_only_of_public_documents():
    pair = WrittenPair("a?", "b", "c", "file.txt", "page 1")
    shown = Samples.of([], [Document("c", Provenance.PUBLIC)], [pair])
    assert Samples.read(shown.plain()) == shown
    with pytest.raises(PrivateDataError):
        Samples.of([], [Document("c", Provenance.PRIVATE)], [pair])


def test_a_reason_is_one_printable_line():
    assert Failure.read("two\nlines\x1b[31m\ud800").reason == "two?lines?[31m?"
