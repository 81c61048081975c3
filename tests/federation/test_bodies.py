"""Bodies of messages: each is read as it was written, and anything else is refused with the reason."""

import pytest

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
    Terms,
)

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
        (Samples, {"prompt": "question?"}, "its samples are no list, or too many"),
        (Samples, [SAMPLE] * (MOST_SAMPLES + 1), "its samples are no list, or too many"),
        (Samples, ["text"], "a sample is not readable"),
        (Samples, [SAMPLE, {"prompt": "question?"}], "a sample is not readable"),
        (Samples, [SAMPLE | {"more": "text"}], "a sample is not readable"),
        (Samples, [SAMPLE | {"after": 7}], "a sample is not readable"),
        (Failure, {"reason": "text"}, "its reason is no text"),
    ],
)
def test_a_body_that_is_not_what_its_kind_holds_is_refused(kind, plain, reason):
    with pytest.raises((RefusedMessageError, PrivateDataError)) as caught:
        kind.read(plain)
    assert str(caught.value) == reason


def test_long_texts_are_cut_by_who_sends_and_by_who_reads():
    long = SAMPLE | {"after": "a" * (LONGEST_TEXT + 1)}
    assert [len(item["after"]) for item in Samples((Sample(**long),)).plain()] == [LONGEST_TEXT]
    assert [len(item.after) for item in Samples.read([long]).items] == [LONGEST_TEXT]
    reason = "x" * LONGEST_REASON + "y"
    assert Failure(reason).plain() == Failure.read(reason).reason == "x" * LONGEST_REASON + "..."


def test_a_reason_is_one_printable_line():
    assert Failure.read("two\nlines\x1b[31m\ud800").reason == "two?lines?[31m?"
