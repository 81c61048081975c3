"""Supervised fine-tuning: cross entropy of the response tokens, for any causal language model.

Two things make it fast. The vocabulary head, a fifth of a small model's work and most of its memory, sees only positions whose next
token is trained on. And a batch is cut into parts of rows of similar length, so that little padding is computed; the sum of the parts
is the loss of the whole batch, whatever the cut.
"""

from __future__ import annotations

import contextlib
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from fedloom.data.records import Conversation
from fedloom.data.tokenise import TokenRows, cached_rows, load_rows
from fedloom.measures import SHARE, Measure
from fedloom.models.encoders import TextEncoder
from fedloom.tasks.base import LOSS, LossPart, Rows, Sums, Task, tasks

PART_TOKENS = {"cpu": 512, "cuda": 8192, "mps": 4096}
"""Padded tokens of a part at the most, unless one row is longer: on a CPU what a layer works on should stay near the cache."""

LARGEST_EXPONENT = 700.0
"""The largest mean loss whose exponential a float holds."""

EXACT_MATCH = Measure(
    "exact_match",
    "exact match",
    SHARE,
    "higher",
    note="Exact match counts a row only when the greedy answer equals the reference, token for token: right in other words is wrong.",
)
PERPLEXITY = Measure("perplexity", "perplexity", note="Perplexity is the exponential of the mean loss per trained token.")


@tasks.register("sft")
@dataclass(frozen=True)
class SFT(Task):
    """Next-token cross entropy, averaged over the response tokens of the batch."""

    measures: ClassVar[tuple[Measure, ...]] = (EXACT_MATCH, LOSS, PERPLEXITY)
    majority_measure: ClassVar[str | None] = EXACT_MATCH.name

    def encode(self, records: Sequence[Conversation], encoder: TextEncoder, cache: Path) -> Path:
        return encoder.checked(cached_rows(records, encoder.tokenizer, encoder.template, encoder.max_length, cache))

    def load(self, path: Path) -> Rows:
        return load_rows(path)

    def learnable(self, rows: Rows) -> Sequence[bool]:
        assert isinstance(rows, TokenRows)
        return (rows.supervised_counts() > 0).tolist()

    def losses(self, model: nn.Module, rows: Rows, indices: Sequence[int]) -> Iterator[LossPart]:
        assert isinstance(rows, TokenRows)
        trained = int(rows.supervised_counts()[list(indices)].sum())
        for part in parts_of_similar_length(rows.lengths(), indices, tokens=part_tokens(model)):
            ids, labels = _padded(rows, part)
            logits, targets = trained_logits(model, ids, labels)
            values = logits.float()
            each = partial(self._each, values, targets, labels)
            yield LossPart(self.summed_loss(values, targets) / trained, ids.numel(), each, part)

    def summed_loss(self, logits: Tensor, targets: Tensor) -> Tensor:
        """The sum of the losses of n trained tokens, from fp32 `logits` (n, vocabulary) and `targets` (n,).

        A task with another loss on response tokens overrides this alone. What is measured on held-out rows stays the cross entropy.
        """
        return cross_entropy(logits, targets, reduction="sum")

    def _each(self, logits: Tensor, targets: Tensor, labels: Tensor) -> Tensor:
        """The mean loss of every row over its own trained tokens, (rows,); zero for a row without one."""
        counts = (labels[:, 1:] >= 0).sum(1).tolist()
        parts = zip(logits.split(counts), targets.split(counts), counts, strict=True)
        return torch.stack([self.summed_loss(one, wanted) / max(count, 1) for one, wanted, count in parts])

    @property
    def sum_names(self) -> tuple[str, ...]:
        return ("loss", "terms", "exact", "rows")

    def values(self, sums: Mapping[str, float]) -> dict[str, float]:
        loss = self.mean_loss(sums)
        return {"exact_match": sums["exact"] / sums["rows"], "loss": loss, "perplexity": math.exp(min(loss, LARGEST_EXPONENT))}

    @torch.no_grad()
    def evaluate(self, model: nn.Module, rows: Rows, groups: Sequence[int], batch_size: int) -> Sums:
        """Teacher-forced: a row is exact when greedy decoding would give its response token for token, end of turn included."""
        assert isinstance(rows, TokenRows)
        references, exact = set(), set()
        loss, tokens = 0.0, 0
        reference_of = {group: row for row, group in reversed(list(enumerate(groups)))}
        for part in parts_of_similar_length(rows.lengths(), range(len(rows)), batch_size, part_tokens(model)):
            ids, labels = _padded(rows, part)
            logits, targets = trained_logits(model, ids, labels)
            losses = cross_entropy(logits.float(), targets, reduction="none").double().cpu()
            right = (logits.argmax(-1) == targets).cpu()
            start = 0
            for row, length in zip(part, (labels[:, 1:] >= 0).sum(1).tolist(), strict=True):
                span = slice(start, start + length)
                start += length
                if length and bool(right[span].all()):
                    exact.add(groups[row])
                if reference_of[groups[row]] == row:
                    references.add(row)
                    loss, tokens = loss + float(losses[span].sum()), tokens + length
        return {"loss": loss, "terms": float(tokens), "exact": float(len(exact)), "rows": float(len(references))}


def parts_of_similar_length(lengths: Tensor, indices: Sequence[int], rows: int | None = None, tokens: int = 512) -> list[list[int]]:
    """`indices` sorted by length and cut into parts of at most `rows` rows and `tokens` padded tokens."""
    parts: list[list[int]] = []
    for index in sorted(indices, key=lambda i: (-int(lengths[i]), i)):
        full = not parts or len(parts[-1]) == rows or (len(parts[-1]) + 1) * int(lengths[parts[-1][0]]) > tokens
        if full:
            parts.append([])
        parts[-1].append(index)
    return parts


def part_tokens(model: nn.Module) -> int:
    """Padded tokens of a part at the most, by the device that `model` is on."""
    return PART_TOKENS.get(next(model.parameters()).device.type, PART_TOKENS["cpu"])


def trained_logits(model: nn.Module, ids: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
    """Logits (n, vocabulary) and targets (n,) of the n positions whose next token is trained on.

    `ids`, `labels`: (rows, length), padded on the right; labels are -100 where nothing is trained. Attention is causal, so padding on
    the right needs no mask.
    """
    device = next(model.parameters()).device
    wanted = (labels[:, 1:] >= 0).to(device)
    targets = labels[:, 1:].to(device)[wanted]
    with _head_sees_only(model, wanted) as narrowed:
        logits = model(input_ids=ids.to(device), use_cache=False).logits
    return (logits[0] if narrowed else logits[:, :-1][wanted]), targets


@contextlib.contextmanager
def _head_sees_only(model: nn.Module, wanted: Tensor) -> Iterator[bool]:
    """Let the vocabulary head of `model` see the `wanted` positions alone, as one row; says whether the model has such a head.

    What models do to logits after the head (scaling, capping) works on every value for itself, so it stays right.
    """
    head = getattr(model, "get_output_embeddings", lambda: None)()
    if head is None:
        yield False
        return

    def narrow(_module: nn.Module, inputs: tuple[Tensor, ...]) -> tuple[Tensor]:
        return (inputs[0][:, :-1][wanted].unsqueeze(0),)

    handle = head.register_forward_pre_hook(narrow)
    try:
        yield True
    finally:
        handle.remove()


def _padded(rows: TokenRows, part: Sequence[int]) -> tuple[Tensor, Tensor]:
    """Token ids and labels of `part`, padded on the right with 0 and -100."""
    found = [rows.row(index) for index in part]
    ids = nn.utils.rnn.pad_sequence([ids for ids, _ in found], batch_first=True)
    labels = nn.utils.rnn.pad_sequence([ids.masked_fill(~mask, -100) for ids, mask in found], batch_first=True, padding_value=-100)
    return ids, labels
