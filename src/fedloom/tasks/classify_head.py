"""Text classification with a head: a linear layer on the last token of the prompt, trained beside the adapter.

One forward pass a row, whatever the number of labels. What is handed out is an adapter for transformers' sequence classification.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from fedloom.data.labelled import LabelledRows, cached_labelled, load_labelled
from fedloom.data.records import Conversation
from fedloom.models.encoders import TextEncoder
from fedloom.tasks.base import LossPart, Rows, Sums, tasks
from fedloom.tasks.classify import Labels, labelled_part, numbers_of_labels
from fedloom.tasks.likelihood import references
from fedloom.tasks.sft import part_tokens, parts_of_similar_length


@tasks.register("classify_head")
@dataclass(frozen=True)
class ClassifyHead(Labels):
    """Cross entropy of softmax(W h), h the hidden state of the prompt's last token and W (labels, hidden) the head; mean over rows."""

    model_kind: ClassVar[str] = "sequence_classifier"

    @property
    def labels_of_head(self) -> tuple[str, ...]:
        return self.labels

    def encode(self, records: Sequence[Conversation], encoder: TextEncoder, cache: Path) -> Path:
        return encoder.checked(cached_labelled(records, numbers_of_labels(records, self.labels), *encoder.settings, cache))

    def load(self, path: Path) -> Rows:
        return load_labelled(path)

    def learnable(self, rows: Rows) -> Sequence[bool]:
        assert isinstance(rows, LabelledRows)
        return (rows.lengths() > 0).tolist()

    def losses(self, model: nn.Module, rows: Rows, indices: Sequence[int]) -> Iterator[LossPart]:
        assert isinstance(rows, LabelledRows)
        for part in parts_of_similar_length(rows.lengths(), indices, tokens=part_tokens(model)):
            scores, tokens = _scores(model, rows, part)
            yield labelled_part(scores, rows.right, part, len(indices), tokens)

    @torch.no_grad()
    def evaluate(self, model: nn.Module, rows: Rows, groups: Sequence[int], batch_size: int) -> Sums:
        assert isinstance(rows, LabelledRows)
        parts = parts_of_similar_length(rows.lengths(), references(groups), batch_size, part_tokens(model))
        return self.counted(((part, _scores(model, rows, part)[0]) for part in parts), rows.right, groups)


def _scores(model: Any, rows: LabelledRows, part: Sequence[int]) -> tuple[Tensor, int]:
    """W h of every label, (rows, labels) in fp32, and the tokens that were computed. Attention is causal: padding needs no mask."""
    ids = rows.padded(part, model.config.pad_token_id).to(next(model.parameters()).device)
    return model(input_ids=ids, use_cache=False).logits.float(), ids.numel()
