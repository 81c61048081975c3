"""Embedding: how the clients' instructions lie in a space of sentence embeddings, as numbers and as a map of points (t-SNE).

t-SNE is van der Maaten and Hinton's (2008), as scikit-learn has it: neighbours stay neighbours, while distances between groups and their
sizes mean nothing. With one seed it gives the same map each time on one machine.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Annotated, Any, ClassVar

import numpy as np
from pydantic import Field

from fedloom.bench.diversity.base import Analysis, Columns, Tools, analyses, asked
from fedloom.bench.diversity.found import CLIENTS, Cell, Found, Points, Table, joined
from fedloom.data.records import Conversation
from fedloom.errors import MissingExtraError
from fedloom.measures import Measure, counted
from fedloom.streams import numpy_stream, stream_seed
from fedloom.synthesis.embedding import PACKAGED, WORDS, embed, require_embedder
from fedloom.wheels import WheelError

COLUMNS = (
    counted("rows", "rows"),
    Measure("others", "cosine with other clients", "", "neither"),
    Measure("nearest", "with the nearest one", "", "neither"),
    Measure("own", "of its rows with its centre", "", "neither"),
)
FEWEST = 5
"""Points that a map has at the least."""


@analyses.register("embedding")
@dataclass(frozen=True)
class Embedding(Analysis):
    """Sentence embeddings of the instructions: cosines between the centres of clients, and a map with a point for each row."""

    title: ClassVar[str] = "Embedding"
    about: ClassVar[str] = (
        "Sentence embeddings of the instructions. A client's centre is the mean of its rows' unit vectors; the cosine of two centres is 1"
        " where two clients ask for the same. In the map (t-SNE) neighbours are alike; how far apart groups lie, and how large they are,"
        " means nothing."
    )
    shows: ClassVar[str] = "a point for each of its rows"
    leaves: ClassVar[tuple[str, ...]] = ()

    embedder: Annotated[
        str | None,
        Field(description=f"{PACKAGED}, {WORDS}, or a model of sentence-transformers; null: {PACKAGED}, or {WORDS} where it cannot be had"),
    ] = None
    points: Annotated[int, Field(ge=FEWEST, description="points of the map at the most; of more rows that many are drawn")] = 2_000
    perplexity: Annotated[float, Field(gt=0, description="t-SNE's number of neighbours, at most a third of the points")] = 30.0

    @cached_property
    def chosen(self) -> str:
        """The embedder that is used."""
        try:
            require_embedder(self.embedder or PACKAGED)
        except WheelError:
            if self.embedder is not None:
                raise
            return WORDS
        return self.embedder or PACKAGED

    def made_with(self, tools: Tools) -> Any:
        _require_library()
        return self.chosen

    def values(self, rows: Sequence[Conversation], tools: Tools) -> Columns:
        return {"vector": embed(self.chosen, [asked(row) for row in rows])}

    def found(self, columns: Mapping[str, Columns], sizes: Mapping[str, int], tools: Tools) -> Found:
        vectors = {client: found["vector"] for client, found in columns.items()}
        rows = _rows(vectors)
        total: dict[str, Cell] = {"rows": sum(sizes.values()), **{name: _mean(rows, name) for name in ("others", "nearest", "own")}}
        table = Table(CLIENTS, "How alike the clients' instructions are", "client", COLUMNS, rows, total)
        chart, note = self._map(columns, sizes, tools)
        return Found((table,), (chart,) if chart else (), (f"The embedder is {self.chosen}.", note))

    def _map(self, columns: Mapping[str, Columns], sizes: Mapping[str, int], tools: Tools) -> tuple[Points | None, str]:
        """The points of all rows, or of as many as are to be drawn, and a sentence that says which."""
        client_of = np.repeat(np.arange(len(sizes)), list(sizes.values()))
        drawn = np.arange(len(client_of))
        if len(drawn) > self.points:
            drawn = np.sort(numpy_stream(tools.seed, "diversity map").choice(drawn, self.points, replace=False))
        if len(drawn) < FEWEST:
            return None, f"There is no map of fewer than {FEWEST} rows."
        vectors = joined(columns, "vector")[drawn]
        perplexity = min(self.perplexity, (len(drawn) - 1) / 3)
        key = ["t-sne", _version(), tools.seed, perplexity, vectors.shape, _digest(vectors)]
        places = tools.keep(key, lambda: {"places": tsne(vectors, perplexity, tools.seed)})["places"]
        chart = Points("map", "Map of the instructions (t-SNE)", "", tuple(sizes), client_of[drawn], places)
        return chart, f"The map shows {len(drawn):,} of {len(client_of):,} rows, with perplexity {perplexity:g} and seed {tools.seed}."


def tsne(vectors: np.ndarray, perplexity: float, seed: int) -> np.ndarray:
    """Places in the plane, (rows, 2) fp32, of `vectors` (rows, width), in one thread: sums in another order would move the points."""
    _require_library()
    from sklearn.manifold import TSNE
    from threadpoolctl import threadpool_limits

    state = stream_seed(seed, "t-sne") % 2**32
    with threadpool_limits(1):
        found = TSNE(2, perplexity=perplexity, init="pca", random_state=state, n_jobs=1).fit_transform(vectors)
    return np.asarray(found, dtype=np.float32)


def _require_library() -> None:
    try:
        import sklearn  # noqa: F401
    except ImportError:
        raise MissingExtraError("scikit-learn", "bench", "a map of embeddings") from None


def _version() -> str:
    import sklearn

    return str(sklearn.__version__)


def _digest(vectors: np.ndarray) -> str:
    return hashlib.sha256(np.ascontiguousarray(vectors).tobytes()).hexdigest()


def _rows(vectors: Mapping[str, np.ndarray]) -> dict[str, dict[str, Cell]]:
    """Of each client: rows, mean and largest cosine of its centre with those of others, and mean cosine of its rows with its centre."""
    means = np.stack([found.mean(0) for found in vectors.values()])
    centres = means / np.maximum(np.linalg.norm(means, axis=1, keepdims=True), 1e-12)
    cosines = (centres @ centres.T).astype(np.float64)
    rows: dict[str, dict[str, Cell]] = {}
    for number, (client, found) in enumerate(vectors.items()):
        others = np.delete(cosines[number], number)
        mean, nearest = (float(others.mean()), float(others.max())) if len(others) else (None, None)
        rows[client] = {"rows": len(found), "others": mean, "nearest": nearest, "own": float((found @ centres[number]).mean())}
    return rows


def _mean(rows: Mapping[str, Mapping[str, Cell]], name: str) -> float | None:
    """The mean over clients: of `others`, the mean cosine of all pairs of clients."""
    values = [float(row[name]) for row in rows.values() if row[name] is not None]  # type: ignore[arg-type]
    return float(np.mean(values)) if values else None
