"""Prompts with a label each, as tokens: what a classification head reads. Kept on disk under a hash of their content."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from fedloom.data.kept_rows import keep_rows, kept_rows
from fedloom.data.prefixes import prompt_ids
from fedloom.data.records import Conversation
from fedloom.data.templates import render_prompt
from fedloom.data.tokenise import token_key


@dataclass(frozen=True)
class LabelledRows:
    """n prompts one after another: `ids` int32, `starts` int64 (n + 1,), `right` int64 (n,) the number of each prompt's label.

    `truncated` is the number of prompts that lost their beginning.
    """

    ids: Tensor
    starts: Tensor
    right: Tensor
    truncated: int

    def __len__(self) -> int:
        return len(self.right)

    def lengths(self) -> Tensor:
        return self.starts.diff()

    def padded(self, indices: Sequence[int], padding: int) -> Tensor:
        """Token ids (rows, longest), padded on the right with the token `padding`."""
        rows = [self.ids[int(self.starts[i]) : int(self.starts[i + 1])].long() for i in indices]
        return pad_sequence(rows, batch_first=True, padding_value=padding)


def cached_labelled(
    examples: Sequence[Conversation], right: Sequence[int], tokenizer: Any, template: str, max_length: int, folder: Path
) -> Path:
    """The file in `folder` with the prompts of `examples` and their labels' numbers `right`, made when it is not there yet.

    A prompt is the text that asks for the response; one of more than `max_length` tokens keeps its end, where the question is.
    """
    content = ["labelled", token_key(examples, tokenizer, template, max_length), list(right)]

    def made() -> tuple[dict[str, Tensor], int]:
        prompts = [_prompt(example, tokenizer, template) for example in examples]
        return labelled_tensors([prompt[-max_length:] for prompt in prompts], right), sum(len(prompt) > max_length for prompt in prompts)

    return keep_rows(folder, hashlib.sha256(json.dumps(content).encode()).hexdigest(), made)


def labelled_tensors(rows: Sequence[Sequence[int]], right: Sequence[int]) -> dict[str, Tensor]:
    """What a file of `LabelledRows` holds: the ids of `rows` one after another, where each begins, and their labels' numbers `right`."""
    kept = [torch.tensor(row, dtype=torch.int32) for row in rows]
    return {
        "ids": torch.cat([torch.zeros(0, dtype=torch.int32), *kept]),
        "starts": torch.tensor([0, *map(len, kept)]).cumsum(0),
        "right": torch.tensor(right, dtype=torch.long),
    }


def load_labelled(path: Path) -> LabelledRows:
    """Rows of `labelled_tensors`, mapped from disk."""
    with kept_rows(path) as (file, truncated):
        return LabelledRows(file.get_tensor("ids"), file.get_tensor("starts"), file.get_tensor("right"), truncated)


def _prompt(example: Conversation, tokenizer: Any, template: str) -> list[int]:
    return prompt_ids(render_prompt(example.prompt, tokenizer, template), tokenizer)
