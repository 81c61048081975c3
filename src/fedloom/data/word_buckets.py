"""Text as numbers without a vocabulary: words and pairs of neighbouring words, hashed into buckets. Kept on disk under a hash of their
content.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path

from torch import Tensor

from fedloom.data.kept_rows import keep_rows
from fedloom.data.labelled import labelled_tensors
from fedloom.data.records import Conversation

BUCKETS = 1 << 16
NO_WORD = 0
"""The bucket that no word is in: what stands behind the last word of a row."""


def words(text: str) -> list[str]:
    """Runs of letters, digits and `_`, in small letters."""
    return re.findall(r"\w+", text.lower())


def buckets(of: Sequence[str]) -> list[int]:
    """The buckets of words `of` a text, then of its pairs of neighbours, from 1 to `BUCKETS` - 1 and the same on every machine."""
    return [_bucket(item) for item in (*of, *map(" ".join, pairwise(of)))]


def cached_buckets(records: Sequence[Conversation], right: Sequence[int], max_words: int, folder: Path) -> Path:
    """The file in `folder` with the buckets of what stands before the response in each of `records`, and their labels' numbers `right`,
    made when it is not there yet: rows that `fedloom.data.labelled.load_labelled` reads.

    Of more than `max_words` words the last ones are kept.
    """
    texts = ["\n".join(turn.content for turn in record.prompt) for record in records]
    content = ["word buckets", BUCKETS, max_words, texts, list(right)]

    def made() -> tuple[dict[str, Tensor], int]:
        found = [words(text) for text in texts]
        return labelled_tensors([buckets(row[-max_words:]) for row in found], right), sum(len(row) > max_words for row in found)

    return keep_rows(folder, hashlib.sha256(json.dumps(content).encode()).hexdigest(), made)


def _bucket(item: str) -> int:
    return 1 + int.from_bytes(hashlib.blake2b(item.encode("utf-8", "surrogatepass"), digest_size=8).digest(), "big") % (BUCKETS - 1)
