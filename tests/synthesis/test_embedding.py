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


def test_faiss_finds_what_the_matrix_product_finds(monkeypatch):
    pytest.importorskip("faiss")
    vectors = np.random.default_rng(0).normal(size=(500, 16)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    exact = nearest_of(vectors[:400], vectors[400:], 4)
    monkeypatch.setattr("fedloom.synthesis.embedding.LARGEST", 10)
    found = nearest_of(vectors[:400], vectors[400:], 4)
    assert np.array_equal(exact[0], found[0])
    np.testing.assert_allclose(exact[1], found[1], atol=1e-5)


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
    module = sentence_transformers.models.Transformer(str(_packaged_folder()), max_seq_length=256)
    model = sentence_transformers.SentenceTransformer(modules=[module, sentence_transformers.models.Pooling(384)])
    np.testing.assert_allclose(embed(PACKAGED, texts), model.encode(texts, normalize_embeddings=True), atol=1e-5)
