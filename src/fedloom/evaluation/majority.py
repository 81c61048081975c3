"""The majority answer: what a client would score by always giving the most common response of its training rows."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from fedloom.data.records import Conversation


def majority_exact(train: Sequence[Conversation], held_out: Sequence[Conversation]) -> int:
    """How many of `held_out` the most common response of `train` answers; the alternatives of a row count as right."""
    answer, _ = Counter(example.response for example in train).most_common(1)[0]
    return sum(answer in (example.response, *example.alternatives) for example in held_out)
