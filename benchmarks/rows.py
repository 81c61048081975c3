"""Rows of a wanted length: random words that are one token each, written as a data file whose column `client` names the owner."""

from __future__ import annotations

import json
import random
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

from fedloom.data.records import Conversation, Provenance, Turn
from fedloom.data.tokenise import TokenRows, tokenise

WORDS = ("hot", "cold", "time", "day", "year", "people", "way", "man", "thing", "world", "life", "hand", "part", "child", "eye", "place")


def write_rows(path: Path, lengths: Mapping[str, Sequence[tuple[int, int]]], tokenizer: Any, seed: int = 7) -> None:
    """Write one row for each (tokens, response tokens) of each client, as `tokenizer`'s chat template counts them."""
    one = Conversation((Turn("user", WORDS[0]), Turn("assistant", WORDS[0])), Provenance.PUBLIC)
    frame = tokenise([one], tokenizer, "chat", 1 << 20)
    around, closing = int(frame.lengths()[0]) - 2, int(frame.supervised_counts()[0]) - 1
    draw = random.Random(seed)

    def text(words: int) -> str:
        return " ".join(draw.choices(WORDS, k=max(1, words)))

    with path.open("w") as file:
        for client, wanted in lengths.items():
            for tokens, response in wanted:
                answer = response - closing
                row = {"instruction": text(tokens - around - answer), "response": text(answer), "client": client}
                file.write(json.dumps(row) + "\n")


def ragged(count: int, shortest: int, longest: int, share: float, seed: int) -> list[tuple[int, int]]:
    """`count` rows of `shortest` to `longest` tokens, `share` of them response."""
    draw = random.Random(seed)
    return [(length, max(2, round(share * length))) for length in (draw.randint(shortest, longest) for _ in range(count))]


def random_rows(vocabulary: int, lengths: Sequence[int]) -> TokenRows:
    """One row of random tokens for each of `lengths`; the last fifth of a row is response."""
    ids = torch.randint(3, vocabulary, (sum(lengths),), generator=torch.Generator().manual_seed(7), dtype=torch.int32)
    supervised = torch.cat([torch.arange(length) >= length - length // 5 for length in lengths])
    return TokenRows(ids, supervised, torch.tensor([0, *lengths]).cumsum(0), 0)
