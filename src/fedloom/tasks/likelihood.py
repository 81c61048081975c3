"""How likely a model finds whole answers, and the parts that a batch of prompts with answers is cut into."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from fedloom.data.answers import AnswerRows
from fedloom.errors import RecipeError
from fedloom.tasks.sft import part_tokens, parts_of_similar_length, trained_logits


def log_probs(model: nn.Module, ids: Tensor, labels: Tensor) -> Tensor:
    """log p(y|x) of each row, (rows,) in fp32: the sum over the tokens of its answer. `ids`, `labels` as `AnswerRows.padded` gives them."""
    return row_sums(token_log_probs(model, ids, labels), labels)


def reference_log_probs(model: Any, ids: Tensor, labels: Tensor) -> Tensor:
    """The same of the reference: the base model, with its adapters off. Raises RecipeError for a model without."""
    if not hasattr(model, "disable_adapter"):
        raise RecipeError("model.adapter: is null, but task.kind needs one: its reference is the base model with the adapter off")
    with torch.no_grad(), model.disable_adapter():
        return log_probs(model, ids, labels)


PromptLength = Annotated[
    int | None,
    Field(
        ge=1,
        description="tokens that a prompt keeps, its last ones, where it and its longest answer exceed data.max_length; answers keep the"
        " rest. null: a quarter of data.max_length, seven eighths where the answers are labels",
    ),
]


def token_log_probs(model: nn.Module, ids: Tensor, labels: Tensor) -> Tensor:
    """log p of every labelled token, (tokens,) in fp32, row by row; the head sees no other position."""
    logits, targets = trained_logits(model, ids, labels)
    return -cross_entropy(logits.float(), targets, reduction="none")


def row_sums(values: Tensor, labels: Tensor) -> Tensor:
    """(rows,): `values` of the labelled tokens, added up row by row."""
    counts = (labels[:, 1:] >= 0).sum(1).to(values.device)
    return torch.zeros(len(counts), device=values.device).index_add(
        0, torch.arange(len(counts), device=values.device).repeat_interleave(counts), values
    )


def answer_parts(model: nn.Module, rows: AnswerRows, indices: Sequence[int], most: int | None = None) -> list[list[int]]:
    """`indices` in parts small enough for memory, of at most `most` prompts."""
    return parts_of_similar_length(rows.lengths(), indices, most, tokens=part_tokens(model) // rows.answers)


def references(groups: Sequence[int]) -> list[int]:
    """The first row of every group: further right answers to the same prompt are no pairs of their own."""
    first: dict[int, int] = {}
    for row, group in enumerate(groups):
        first.setdefault(group, row)
    return list(first.values())
