"""Prompts with the answers that a task compares, as tokens: a preferred one with a rejected one, or every label of a class.

Only the tokens of an answer are supervised, its end-of-turn mark included, and a long prompt keeps its end, where the question is. Rows are
kept on disk under a hash of their content.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from fedloom.data.kept_rows import keep_rows, kept_rows
from fedloom.data.records import Conversation, Turn
from fedloom.data.tokenise import TokenRows, token_key, tokenise

UNCUT = 1 << 30


@dataclass(frozen=True)
class AnswerRows:
    """n prompts with k answers each.

    `tokens` are n * k rows, those of prompt i from i * k on. `right` int64 (n,) is the number of the answer that is right, -1 when none is.
    `truncated` is the number of prompts that lost something, of themselves or of an answer.
    """

    tokens: TokenRows
    right: Tensor
    truncated: int

    def __len__(self) -> int:
        return len(self.right)

    @property
    def answers(self) -> int:
        """k."""
        return len(self.tokens) // max(len(self), 1)

    def lengths(self) -> Tensor:
        """Tokens of the longest row of each prompt, (n,)."""
        return self.tokens.lengths().view(len(self), -1).amax(1)

    def learnable(self) -> list[bool]:
        """For each prompt, whether every answer to it has a token left: one without cannot be compared with another."""
        return (self.tokens.supervised_counts().view(len(self), -1) > 0).all(1).tolist()

    def padded(self, indices: Sequence[int]) -> tuple[Tensor, Tensor, Tensor]:
        """Token ids, labels and whether there is a token, each (k * rows, length): the answers of each prompt stand together.

        Padded on the right; labels are -100 where no answer is.
        """
        k = self.answers
        found = [self.tokens.row(index * k + answer) for index in indices for answer in range(k)]
        ids = pad_sequence([ids for ids, _ in found], batch_first=True)
        labels = pad_sequence([ids.masked_fill(~mask, -100) for ids, mask in found], batch_first=True, padding_value=-100)
        there = pad_sequence([torch.ones_like(mask) for _, mask in found], batch_first=True)
        return ids, labels, there


def answered(example: Conversation, *answers: str) -> list[Conversation]:
    """`example` once with each of `answers` in place of its response."""
    return [replace(example, turns=(*example.prompt, Turn("assistant", answer)), rejected=None) for answer in answers]


def tokenise_answers(
    prompts: Sequence[Sequence[Conversation]], right: Sequence[int], tokenizer: Any, template: str, max_length: int, max_prompt_length: int
) -> AnswerRows:
    """Rows of `prompts`: for each the same prompt with every one of its answers as the response.

    Where a prompt and its longest answer have more than `max_length` tokens, the prompt keeps its last `max_prompt_length`; where that is
    not enough, each answer keeps its first `max_length - max_prompt_length`. So does the code that OpenFedLLM trains DPO with.
    """
    flat = [example for prompt in prompts for example in prompt]
    ids: list[Tensor] = []
    supervised: list[Tensor] = []
    lost = []
    whole = tokenise(flat, tokenizer, template, UNCUT)
    number = 0
    for prompt in prompts:
        spans = [_last_run(whole.row(row)[1]) for row in range(number, number + len(prompt))]
        longest = max(end - first for first, end in spans)
        cut = False
        for row, (first, end) in enumerate(spans, start=number):
            start, stop = first - _prompt_kept(first, longest, max_length, max_prompt_length), end
            if first - start + longest > max_length:
                stop = min(end, first + max(max_length - max_prompt_length, 0))
            cut |= start > 0 or stop < end
            ids.append(whole.row(row)[0][start:stop].int())
            supervised.append(torch.arange(start, stop) >= first)
        lost.append(cut)
        number += len(prompt)
    starts = torch.tensor([0, *map(len, ids)]).cumsum(0)
    rows = TokenRows(_joined(ids, torch.int32), _joined(supervised, torch.bool), starts, sum(lost))
    return AnswerRows(rows, torch.tensor(right, dtype=torch.long), sum(lost))


def _prompt_kept(tokens: int, longest_answer: int, max_length: int, max_prompt_length: int) -> int:
    """How many of a prompt's `tokens` are kept."""
    return min(tokens, max_prompt_length, max_length) if tokens + longest_answer > max_length else tokens


def _last_run(mask: Tensor) -> tuple[int, int]:
    """[first, end) of the last run of true values: the tokens of the last response."""
    positions = mask.nonzero().flatten()
    if len(positions) == 0:
        return len(mask), len(mask)
    breaks = (positions.diff() > 1).nonzero().flatten()
    return int(positions[int(breaks[-1]) + 1] if len(breaks) else positions[0]), int(positions[-1]) + 1


def _joined(parts: Sequence[Tensor], dtype: torch.dtype) -> Tensor:
    return torch.cat([torch.zeros(0, dtype=dtype), *parts])


def cached_answers(
    prompts: Sequence[Sequence[Conversation]],
    right: Sequence[int],
    tokenizer: Any,
    template: str,
    max_length: int,
    max_prompt_length: int,
    folder: Path,
) -> Path:
    """The file in `folder` with the rows that `tokenise_answers` gives, made when it is not there yet."""
    flat = [example for prompt in prompts for example in prompt]
    content = ["answers", token_key(flat, tokenizer, template, max_length), max_prompt_length, list(right)]

    def made() -> tuple[dict[str, Tensor], int]:
        rows = tokenise_answers(prompts, right, tokenizer, template, max_length, max_prompt_length)
        supervised = rows.tokens.supervised.to(torch.uint8)
        return {"ids": rows.tokens.ids, "supervised": supervised, "starts": rows.tokens.starts, "right": rows.right}, rows.truncated

    return keep_rows(folder, hashlib.sha256(json.dumps(content).encode()).hexdigest(), made)


def load_answers(path: Path) -> AnswerRows:
    """Rows that `cached_answers` wrote, mapped from disk."""
    with kept_rows(path) as (file, truncated):
        tokens = TokenRows(file.get_tensor("ids"), file.get_tensor("supervised").bool(), file.get_tensor("starts"), truncated)
        return AnswerRows(tokens, file.get_tensor("right"), truncated)
