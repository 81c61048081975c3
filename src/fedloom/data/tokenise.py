"""Conversations to tokens, once: rows of token ids with a mask of what is trained on, kept on disk under a hash of their content."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from fedloom.data.kept_rows import keep_rows, kept_rows
from fedloom.data.prefixes import Encoded, encode
from fedloom.data.records import Conversation
from fedloom.data.templates import VERSION, Rendered, render
from fedloom.errors import ModelError


@dataclass(frozen=True)
class TokenRows:
    """Rows one after another.

    `ids` int32 and `supervised` bool have one value per token, `starts` int64 one per row and one more for the end;
    `truncated` is the number of rows that were cut to the greatest length.
    """

    ids: Tensor
    supervised: Tensor
    starts: Tensor
    truncated: int

    def __len__(self) -> int:
        return len(self.starts) - 1

    def row(self, index: int) -> tuple[Tensor, Tensor]:
        """(ids int64, supervised bool) of one row."""
        start, end = int(self.starts[index]), int(self.starts[index + 1])
        return self.ids[start:end].long(), self.supervised[start:end]

    def lengths(self) -> Tensor:
        return self.starts.diff()

    def supervised_counts(self) -> Tensor:
        """Trained tokens per row; the first token of a row is never predicted and does not count."""
        counted = self.supervised.clone()
        counted[self.starts[:-1][self.lengths() > 0]] = False
        sums = torch.cat([torch.zeros(1, dtype=torch.long), counted.long().cumsum(0)])
        return sums[self.starts[1:]] - sums[self.starts[:-1]]


def tokenise(examples: Sequence[Conversation], tokenizer: Any, template: str, max_length: int) -> TokenRows:
    """Render and tokenise `examples`. Of a row all tokens of the responses are trained on, from the first one that a model is asked for.

    Rows longer than `max_length` lose their end. Raises ModelError for a tokenizer that cannot give character offsets.
    """
    if not getattr(tokenizer, "is_fast", False):
        raise ModelError("this tokenizer gives no character offsets; use a model with a fast tokenizer (tokenizer.json)")
    ids: list[int] = []
    supervised: list[bool] = []
    starts, truncated = [0], 0
    for rendered, encoded in _encoded(examples, tokenizer, template):
        mask = _mask(encoded, rendered.responses)
        truncated += len(mask) > max_length
        ids += encoded.ids[:max_length]
        supervised += mask[:max_length]
        starts.append(len(ids))
    return TokenRows(torch.tensor(ids, dtype=torch.int32), torch.tensor(supervised, dtype=torch.bool), torch.tensor(starts), truncated)


def _encoded(examples: Sequence[Conversation], tokenizer: Any, template: str, batch: int = 512) -> Iterator[tuple[Rendered, Encoded]]:
    for first in range(0, len(examples), batch):
        rendered = [render(example.turns, tokenizer, template) for example in examples[first : first + batch]]
        yield from zip(rendered, encode(rendered, tokenizer), strict=True)


def _mask(encoded: Encoded, responses: Sequence[tuple[int, int]]) -> list[bool]:
    """For every token, whether it belongs to a response: it is not before the response's first one, and begins before its end."""
    mask = [False] * len(encoded.ids)
    for first, (_, end) in zip(encoded.responses, responses, strict=True):
        for token in range(first, len(mask)):
            if encoded.begins[token] >= end:
                break
            mask[token] = True
    return mask


def token_key(examples: Sequence[Conversation], tokenizer: Any, template: str, max_length: int) -> str:
    """A hash of all that decides the tokens of `examples`."""
    marks = [tokenizer.bos_token, tokenizer.eos_token]  # templates write them, and tokenizers that differ in nothing else are not rare
    digest = hashlib.sha256(json.dumps([VERSION, template, max_length, tokenizer.chat_template, marks]).encode())
    digest.update(tokenizer.backend_tokenizer.to_str().encode())
    for example in examples:
        digest.update(json.dumps([[turn.role, turn.content] for turn in example.turns]).encode())
    return digest.hexdigest()


def cached_rows(examples: Sequence[Conversation], tokenizer: Any, template: str, max_length: int, folder: Path) -> Path:
    """The file in `folder` that holds the tokens of `examples`, made when it is not there yet."""

    def made() -> tuple[dict[str, Tensor], int]:
        rows = tokenise(examples, tokenizer, template, max_length)
        return {"ids": rows.ids, "supervised": rows.supervised.to(torch.uint8), "starts": rows.starts}, rows.truncated

    return keep_rows(folder, token_key(examples, tokenizer, template, max_length), made)


def load_rows(path: Path) -> TokenRows:
    """Rows that `cached_rows` wrote, mapped from disk."""
    with kept_rows(path) as (file, truncated):
        return TokenRows(file.get_tensor("ids"), file.get_tensor("supervised").bool(), file.get_tensor("starts"), truncated)
