"""Clusters of clients that have something in common, for the baseline that federates within each: by a field of their rows, such as the
language, or by how like their texts are. Both look at all clients' rows, which one machine has in a study, and a federation does not."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Annotated, Any

import numpy as np
from pydantic import Field

from fedloom.data.clients import ClientData
from fedloom.data.records import Conversation
from fedloom.errors import MissingExtraError, RecipeError
from fedloom.registry import Registry
from fedloom.synthesis.embedding import WORDS, embed, require_embedder

MOST_TEXTS = 100
"""Texts of a client whose mean stands for it: the first ones."""


class Clustering:
    """Tells which cluster each client belongs to."""

    def check(self, clients: Sequence[ClientData]) -> None:
        """Raise a FedloomError, before anything is trained, for clients that cannot be told apart so."""

    def clusters(self, clients: Sequence[ClientData]) -> Mapping[str, str]:
        """client -> its cluster."""
        raise NotImplementedError


clusterings: Registry[Any] = Registry("clustering", Clustering)


@clusterings.register("by_field")
@dataclass(frozen=True)
class ByField(Clustering):
    """Clients whose training rows have the same commonest value of a field, such as their language."""

    field: Annotated[str, Field(description="field of the rows, such as language")] = field(kw_only=True)

    def check(self, clients: Sequence[ClientData]) -> None:
        self.clusters(clients)

    def clusters(self, clients: Sequence[ClientData]) -> Mapping[str, str]:
        return {client.name: self._commonest(client) for client in clients}

    def _commonest(self, client: ClientData) -> str:
        found = Counter(str(record.fields[self.field]) for record in client.train if self.field in record.fields)
        if not found:
            raise RecipeError(f"evaluate.clusters.field: no row of client '{client.name}' has a field '{self.field}'")
        return min(found, key=lambda value: (-found[value], value))


@clusterings.register("by_text")
@dataclass(frozen=True)
class ByText(Clustering):
    """`count` clusters of clients whose texts are alike: average linkage over the cosines of the clients' mean vectors, of the texts of
    prompts."""

    count: Annotated[int, Field(ge=1, description="number of clusters")] = field(kw_only=True)
    embedder: Annotated[str, Field(description="words, all-minilm-l6-v2, or a model of sentence-transformers")] = WORDS

    def check(self, clients: Sequence[ClientData]) -> None:
        if self.count > len(clients):
            raise RecipeError(f"evaluate.clusters.count is {self.count}, but there are {len(clients)} clients")
        for client in clients:
            if not _texts(client):
                raise RecipeError(f"evaluate.clusters: client '{client.name}' has no conversation to compare; write kind: by_field")
        require_embedder(self.embedder)

    def clusters(self, clients: Sequence[ClientData]) -> Mapping[str, str]:
        labels = _grouped(np.stack([self._vector(client) for client in clients]), self.count)
        return {client.name: f"cluster-{label + 1}" for client, label in zip(clients, labels, strict=True)}

    def _vector(self, client: ClientData) -> np.ndarray:
        """The mean of the vectors of the client's texts, of length 1 (width,)."""
        mean = embed(self.embedder, _texts(client)).mean(0)
        return np.asarray(mean / max(float(np.linalg.norm(mean)), 1e-12))


def _texts(client: ClientData) -> list[str]:
    """The prompts of the client's first rows."""
    rows = [record for record in client.train[:MOST_TEXTS] if isinstance(record, Conversation)]
    return [" ".join(turn.content for turn in row.prompt) for row in rows]


def _grouped(vectors: np.ndarray, count: int) -> list[int]:
    """The group of each of `vectors` (clients, width), numbered in the order in which they first come."""
    if count == len(vectors):
        return list(range(count))
    try:
        from sklearn.cluster import AgglomerativeClustering
    except ImportError:
        raise MissingExtraError("scikit-learn", "bench", "evaluate.clusters by_text") from None
    found = AgglomerativeClustering(n_clusters=count, metric="cosine", linkage="average").fit_predict(vectors)
    order = {label: place for place, label in enumerate(dict.fromkeys(found.tolist()))}
    return [order[label] for label in found.tolist()]
