"""How alike made-up instructions are: the cosine of TF-IDF vectors fitted on all of them, or of an embedder's."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from fedloom.errors import MissingExtraError, ModelError
from fedloom.synthesis.embedding import PACKAGED, WORDS, embed, require_embedder
from fedloom.synthesis.words import content_words

TFIDF = "tfidf"


def require_likeness(by: str) -> None:
    """Make sure that texts can be compared `by` TF-IDF or an embedder. Raises MissingExtraError, or what the embedder raises."""
    if by == TFIDF:
        _vectorizer()
        return
    try:
        require_embedder(by)
    except MissingExtraError:
        raise ModelError(
            f"finish: knowledgesg: likeness: '{by}' is neither {TFIDF}, {WORDS} nor {PACKAGED}; as a model of sentence-transformers it"
            " needs the extra `retrieval`"
        ) from None


def vectors(by: str, texts: Sequence[str]) -> np.ndarray:
    """A unit vector for each of `texts`, (texts, width), by TF-IDF of their content words over all of them, or by an embedder."""
    if by != TFIDF:
        return embed(by, texts)
    if not any(content_words(text) for text in texts):
        return np.zeros((len(texts), 1))
    return np.asarray(_vectorizer().fit_transform(texts).toarray())


def first_of_kind(found: np.ndarray, most: float) -> list[bool]:
    """For each of the vectors (n, width), whether its cosine with every one that was kept before it is at most `most`."""
    kept: list[int] = []
    fresh = []
    for place in range(len(found)):
        fresh.append(not kept or float((found[kept] @ found[place]).max()) <= most)
        if fresh[-1]:
            kept.append(place)
    return fresh


def _vectorizer() -> Any:
    try:
        from sklearn.feature_extraction.text import TfidfVectorizer
    except ImportError:
        raise MissingExtraError("scikit-learn", "retrieval", "finish: knowledgesg: likeness: tfidf") from None
    return TfidfVectorizer(analyzer=content_words)
