"""How alike instructions are: TF-IDF by hand, and what is kept of those that are alike."""

import math
import sys

import numpy as np
import pytest

from fedloom.errors import MissingExtraError
from fedloom.synthesis.likeness import first_of_kind, require_likeness, vectors


def test_the_cosine_of_tfidf_vectors_is_that_of_the_formula():
    """Two texts of three share a word. With weights of 1 + ln((1 + n) / (1 + texts with the word)), as scikit-learn smooths them: the word
    of both weighs a = 1 + ln(4 / 3), a word of one b = 1 + ln(2)."""
    found = vectors("tfidf", ["red apple", "red pear", "blue sky"])
    a, b = 1 + math.log(4 / 3), 1 + math.log(2)
    assert found[0] @ found[1] == pytest.approx(a * a / (a * a + b * b))
    assert found[0] @ found[2] == 0
    assert np.linalg.norm(found, axis=1) == pytest.approx(np.ones(3))


@pytest.mark.parametrize("by", ["tfidf", "words"])
def test_texts_without_a_word_are_like_nothing(by):
    found = vectors(by, ["", "the of"])
    assert not found.any()


def test_of_those_that_are_alike_the_first_is_kept():
    east, north, between = np.array([1.0, 0]), np.array([0, 1.0]), np.array([0.8, 0.6])
    found = np.stack([east, between, north, east, between])
    assert first_of_kind(found, 0.7) == [True, False, True, False, False]  # between is not kept, so that north is held to east alone
    assert first_of_kind(found, 0.8) == [True, True, True, False, False]
    assert first_of_kind(found[:0], 0.8) == []


def test_tfidf_without_its_library_names_the_extra(monkeypatch):
    monkeypatch.setitem(sys.modules, "sklearn.feature_extraction.text", None)
    with pytest.raises(MissingExtraError, match="retrieval"):
        require_likeness("tfidf")
