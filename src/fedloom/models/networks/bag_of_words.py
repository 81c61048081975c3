"""A linear classifier of text on the mean of its words' embeddings (Joulin et al. 2016, arXiv:1607.01759)."""

from __future__ import annotations

from torch import Tensor, nn

from fedloom.data.word_buckets import BUCKETS, NO_WORD
from fedloom.models.networks.base import Network

DIMENSION = 16


class BagOfWords(Network):
    """Buckets of words and word pairs (rows, longest), `NO_WORD` behind the last of a row -> scores (rows, labels).

    W e + b, e the mean of the embeddings of a row's words and pairs. With fewer `embeddings` than buckets, buckets share one.
    """

    def __init__(self, labels: int, embeddings: int = BUCKETS) -> None:
        super().__init__()
        self.embedding = nn.Embedding(embeddings, DIMENSION)
        self.head = nn.Linear(DIMENSION, labels)

    def forward(self, buckets: Tensor) -> Tensor:
        there = (buckets != NO_WORD).unsqueeze(2)
        embedded = self.embedding(buckets % self.embedding.num_embeddings)
        mean = (embedded * there).sum(1) / there.sum(1).clamp(min=1)
        scores: Tensor = self.head(mean.to(embedded.dtype))
        return scores
