"""Classification of text without a language model: a small network on hashed words, all of its weights trained."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import torch
from torch import Tensor, nn

from fedloom.data.labelled import LabelledRows, load_labelled
from fedloom.data.records import Conversation
from fedloom.data.word_buckets import NO_WORD, cached_buckets
from fedloom.models.encoders import WordEncoder
from fedloom.tasks.base import LossPart, Rows, Sums, tasks
from fedloom.tasks.classify import Labels, labelled_part, numbers_of_labels
from fedloom.tasks.likelihood import references
from fedloom.tasks.sft import parts_of_similar_length

LARGEST_PART = 1 << 16
"""Words and pairs that are looked up together at the most."""


@tasks.register("classify_text")
@dataclass(frozen=True)
class ClassifyText(Labels):
    """Cross entropy of softmax(f(x)), f(x) the network's scores of the words before the response; mean over rows."""

    model_kind: ClassVar[str] = "text_net"
    why_untrainable: ClassVar[str] = "has no words to train on: no letter or digit stands before any of its labels; check data.fields"

    @property
    def labels_of_head(self) -> tuple[str, ...]:
        return self.labels

    def encode(self, records: Sequence[Conversation], encoder: WordEncoder, cache: Path) -> Path:
        return cached_buckets(records, numbers_of_labels(records, self.labels), encoder.max_length, cache)

    def load(self, path: Path) -> Rows:
        return load_labelled(path)

    def learnable(self, rows: Rows) -> Sequence[bool]:
        assert isinstance(rows, LabelledRows)
        return (rows.lengths() > 0).tolist()

    def losses(self, model: nn.Module, rows: Rows, indices: Sequence[int]) -> Iterator[LossPart]:
        assert isinstance(rows, LabelledRows)
        for part in parts_of_similar_length(rows.lengths(), indices, tokens=LARGEST_PART):
            scores, tokens = _scores(model, rows, part)
            yield labelled_part(scores, rows.right, part, len(indices), tokens)

    @torch.no_grad()
    def evaluate(self, model: nn.Module, rows: Rows, groups: Sequence[int], batch_size: int) -> Sums:
        assert isinstance(rows, LabelledRows)
        parts = parts_of_similar_length(rows.lengths(), references(groups), batch_size, LARGEST_PART)
        return self.counted(((part, _scores(model, rows, part)[0]) for part in parts), rows.right, groups)


def _scores(model: nn.Module, rows: LabelledRows, part: Sequence[int]) -> tuple[Tensor, int]:
    """The scores of `part`, (rows, labels) in fp32, and the buckets that were looked up."""
    found = rows.padded(part, NO_WORD).to(next(model.parameters()).device)
    return model(found).float(), found.numel()
