"""Embedding: words, the packaged model, and the nearest of many, by a matrix product or FAISS."""

import sys

import numpy as np
import pytest

from fedloom.errors import MissingExtraError
from fedloom.synthesis.embedding import PACKAGED, WORDS, embed, nearest_of

TEXTS = ["Copper is a soft metal.", "Soft metals such as copper.", "Birds fly south in winter.", ""]


def test_vectors_of_words_are_unit_vectors_and_alike_for_like_words():
    found = embed(WORDS, TEXTS)
    assert found.dtype == np.float32
    np.testing.assert_allclose(np.linalg.norm(found, axis=1), [1, 1, 1, 0], atol=1e-6)
    cosines = found @ found.T
    assert cosines[0, 1] == pytest.approx(1.0, abs=1e-6)  # copper, soft, metal in both: such and as say nothing
    assert cosines[0, 2] == pytest.approx(0.0, abs=1e-6)


def test_no_texts_give_no_vectors():
    assert embed(WORDS, []).shape[0] == 0


def test_the_nearest_come_first_and_of_equals_the_earlier():
    pool = np.array([[1, 0], [0, 1], [1, 0], [0.6, 0.8]], dtype=np.float32)
    places, cosines = nearest_of(pool, np.array([[1, 0], [0, 1]], dtype=np.float32), 3)
    assert places.tolist() == [[0, 2, 3], [1, 3, 0]]
    np.testing.assert_allclose(cosines, [[1, 1, 0.6], [1, 0.8, 0]], atol=1e-6)


def test_a_small_pool_gives_fewer():
    places, _ = nearest_of(np.eye(2, dtype=np.float32), np.eye(2, dtype=np.float32), 5)
    assert places.shape == (2, 2)


def unit_vectors(*shape, seed=0):
    vectors = np.random.default_rng(seed).normal(size=shape).astype(np.float32)
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


@pytest.fixture(params=["product", "faiss"])
def way(request, monkeypatch):
    if request.param == "faiss":
        pytest.importorskip("faiss")
        monkeypatch.setattr("fedloom.synthesis.embedding.LARGEST", 1)


@pytest.mark.usefixtures("way")
@pytest.mark.parametrize("count", [1, 3, 5, 20])
@pytest.mark.parametrize("queries", [1, 25, 200])
def test_of_equal_vectors_the_earlier_come_first(queries, count):
    pool, asked = unit_vectors(301, 100), unit_vectors(queries, 100, seed=1)
    equal = np.random.default_rng(2).choice(301, size=40, replace=False)
    pool[equal] = asked[-1]
    places, cosines = nearest_of(pool, asked, count)
    assert places[-1].tolist() == sorted(equal.tolist())[:count]
    assert len(set(cosines[-1].tolist())) == 1
    for row in places.tolist():
        assert [place for place in row if place in equal] == sorted(equal.tolist())[: sum(place in equal for place in row)]


@pytest.mark.usefixtures("way")
def test_a_query_that_nothing_is_near_to_gives_the_first():
    assert nearest_of(unit_vectors(50, 8), np.zeros((1, 8), dtype=np.float32), 3)[0].tolist() == [[0, 1, 2]]


def test_faiss_finds_what_the_matrix_product_finds(monkeypatch):
    pytest.importorskip("faiss")
    vectors = unit_vectors(500, 16)
    vectors[100:140] = vectors[:40]
    exact = nearest_of(vectors[:400], vectors[400:], 4)
    monkeypatch.setattr("fedloom.synthesis.embedding.LARGEST", 10)
    found = nearest_of(vectors[:400], vectors[400:], 4)
    assert np.array_equal(exact[0], found[0])
    assert np.array_equal(exact[1], found[1])


@pytest.mark.parametrize(
    ("module", "ask"),
    [
        ("faiss", lambda: nearest_of(np.eye(4, dtype=np.float32), np.eye(4, dtype=np.float32), 2)),
        ("sentence_transformers", lambda: embed("some/model", ["a"])),
    ],
)
def test_a_missing_library_names_its_extra(monkeypatch, module, ask):
    monkeypatch.setitem(sys.modules, module, None)
    monkeypatch.setattr("fedloom.synthesis.embedding.LARGEST", 1)
    with pytest.raises(MissingExtraError, match=r"fedloom\[retrieval\]"):
        ask()


@pytest.mark.slow
def test_the_packaged_model_gives_what_sentence_transformers_gives(tmp_path):
    sentence_transformers = pytest.importorskip("sentence_transformers")
    from fedloom.synthesis.embedding import _packaged_folder

    texts = [text for text in TEXTS if text] + ["word " * 400]
    model = sentence_transformers.SentenceTransformer(str(_packaged_folder()))  # of a plain model it takes the mean over the tokens
    model.max_seq_length = 256
    np.testing.assert_allclose(embed(PACKAGED, texts), model.encode(texts, normalize_embeddings=True), atol=1e-5)
