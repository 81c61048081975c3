"""Cosines of clients against vectors that are known, and a map that is the same each time."""

import sys
from types import SimpleNamespace

import numpy as np
import pytest

from fedloom.bench.diversity import Embedding
from fedloom.bench.diversity.embedding import tsne
from fedloom.data.records import Conversation, Provenance, Turn
from fedloom.errors import MissingExtraError
from fedloom.wheels import WheelError

TOOLS = SimpleNamespace(seed=3, keep=lambda key, make: make())
WORDS = Embedding(embedder="words")


def rows(*texts):
    return [Conversation((Turn("user", text), Turn("assistant", "a")), Provenance.PUBLIC) for text in texts]


def found_of(vectors, analysis=WORDS):
    columns = {client: {"vector": np.asarray(found, dtype=np.float32)} for client, found in vectors.items()}
    return analysis.found(columns, {client: len(found) for client, found in vectors.items()}, TOOLS)


def test_cosines_of_centres_are_those_of_the_mean_vectors():
    found = found_of({"a": [[1, 0], [0, 1]], "b": [[1, 0]], "c": [[0, 1]]})
    diagonal = pytest.approx(0.5**0.5)
    assert found.tables[0].rows["a"] == {"rows": 2, "others": diagonal, "nearest": diagonal, "own": diagonal}
    assert found.tables[0].rows["b"] == {"rows": 1, "others": pytest.approx(0.5**0.5 / 2), "nearest": diagonal, "own": 1.0}
    assert found.tables[0].total["others"] == pytest.approx((2 * 0.5**0.5 + 0) / 3)
    assert found.charts == ()
    assert "no map of fewer than 5 rows" in found.notes[1]


def test_one_client_has_no_other():
    assert found_of({"a": [[1, 0]] * 2}).tables[0].total["others"] is None


def test_clients_that_ask_for_the_same_are_alike_and_others_are_not():
    texts = {"a": ["write a poem of the sea"] * 3, "b": ["write a poem of the sea"] * 3, "c": ["repair the broken engine quickly"] * 3}
    columns = {client: WORDS.values(rows(*some), TOOLS) for client, some in texts.items()}
    table = WORDS.found(columns, dict.fromkeys(texts, 3), TOOLS).tables[0]
    assert table.rows["a"]["nearest"] == pytest.approx(1)
    assert table.rows["c"]["nearest"] == pytest.approx(0)


def test_a_map_is_the_same_each_time():
    vectors = np.random.default_rng(0).normal(size=(30, 8)).astype(np.float32)
    first = tsne(vectors, 5, 3)
    assert first.shape == (30, 2)
    assert np.array_equal(first, tsne(vectors, 5, 3))


def test_of_many_rows_as_many_points_are_drawn_as_are_wanted():
    vectors = np.random.default_rng(0).normal(size=(40, 8))
    found = found_of({"a": vectors[:30], "b": vectors[30:]}, Embedding(embedder="words", points=12, perplexity=3))
    (chart,) = found.charts
    assert chart.places.shape == (12, 2)
    assert set(chart.client_of.tolist()) <= {0, 1}
    assert "12 of 40 rows, with perplexity 3 and seed 3" in found.notes[1]


def test_words_stand_in_for_an_embedder_that_cannot_be_fetched(monkeypatch):
    def refused(name):
        raise WheelError("no network")

    monkeypatch.setattr("fedloom.bench.diversity.embedding.require_embedder", refused)
    assert Embedding().chosen == "words"
    with pytest.raises(WheelError):
        _ = Embedding(embedder="all-minilm-l6-v2").chosen


def test_a_missing_library_names_its_extra(monkeypatch):
    monkeypatch.setitem(sys.modules, "sklearn", None)
    with pytest.raises(MissingExtraError, match=r"fedloom\[bench\]"):
        WORDS.made_with(TOOLS)
