"""Text as hashed words and word pairs: the same on every machine, and nothing of the text in the file but numbers."""

import pytest

from fedloom.data.labelled import load_labelled
from fedloom.data.records import Conversation, Provenance, Turn
from fedloom.data.word_buckets import BUCKETS, NO_WORD, buckets, cached_buckets, words


def talk(*texts, label="yes"):
    return Conversation((*(Turn("user", text) for text in texts), Turn("assistant", label)), Provenance.PRIVATE)


def test_words_are_runs_of_letters_and_digits_in_small_letters():
    assert words("Don't PANIC: Größe 42,5\n") == ["don", "t", "panic", "größe", "42", "5"]
    assert words("…!") == []


def test_a_text_is_its_words_and_then_its_pairs_of_neighbours():
    found = buckets(["the", "red", "house"])
    assert len(found) == 5
    assert found[:3] == [*buckets(["the"]), *buckets(["red"]), *buckets(["house"])]
    assert buckets(["red", "house"])[2] == found[4] != buckets(["house", "red"])[2]
    assert buckets([]) == []


def test_buckets_are_the_same_on_every_machine():
    assert buckets(["bank", "note"]) == [34364, 54565, 6416]


def test_no_word_is_in_the_bucket_that_stands_for_none():
    found = set(buckets([str(number) for number in range(30_000)]))
    assert NO_WORD not in found
    assert 1 <= min(found) <= max(found) < BUCKETS
    assert len(found) > 38_000  # 59,999 draws among 65,535 meet 39,306 of them


def test_rows_hold_what_stands_before_the_response_and_keep_its_last_words(tmp_path):
    rows = load_labelled(cached_buckets([talk("a b", "c d"), talk("?")], [1, 0], 3, tmp_path))
    assert rows.ids.tolist() == buckets(["b", "c", "d"])
    assert rows.lengths().tolist() == [5, 0]
    assert (rows.right.tolist(), rows.truncated) == ([1, 0], 1)


@pytest.mark.parametrize("other", [([talk("a c")], [0], 9), ([talk("a b")], [1], 9), ([talk("a b")], [0], 1)])
def test_rows_are_kept_under_a_hash_of_text_labels_and_length(tmp_path, other):
    first = cached_buckets([talk("a b")], [0], 9, tmp_path)
    assert cached_buckets([talk("a b", label="no")], [0], 9, tmp_path) == first
    assert cached_buckets(*other, tmp_path) != first
