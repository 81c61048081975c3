"""Text classification without a head of its own: the label that the model finds likeliest as the answer.

The labels are words that the model already knows, so a few rows teach it, and what is trained, sent and handed out is an adapter like any
other. Each row costs one forward pass per label.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from fedloom.data.answers import AnswerRows, answered, cached_answers, load_answers
from fedloom.data.records import Conversation
from fedloom.errors import DataError, RecipeError
from fedloom.tasks.base import LossPart, Measures, Rows, Task, tasks
from fedloom.tasks.likelihood import answer_parts, check_answers, log_probs, references


@dataclass(frozen=True)
class Labels(Task):
    """The labels that a classification chooses from."""

    labels: Annotated[tuple[str, ...], Field(min_length=2, description="all labels, as they stand in the response column")] = field(
        kw_only=True
    )

    def __post_init__(self) -> None:
        if len(set(self.labels)) < len(self.labels):
            raise RecipeError("task.labels: names a label twice; name each once")

    def measures(self, scored: Iterable[tuple[Sequence[int], Tensor]], right: Tensor, groups: Sequence[int]) -> Measures:
        """The loss over rows, from the scores of shape (rows, labels) of every part of them; exact is a row whose highest score is that of
        its label, or of one of its further right answers."""
        right_of = defaultdict(set)
        for group, label in zip(groups, right.tolist(), strict=True):
            right_of[group].add(label)
        loss, exact, rows = 0.0, 0, 0
        for part, scores in scored:
            loss += float(cross_entropy(scores, right[part].to(scores.device), reduction="sum"))
            exact += sum(label in right_of[groups[row]] for row, label in zip(part, scores.argmax(1).tolist(), strict=True))
            rows += len(part)
        return Measures(loss, rows, exact, rows)


def numbers_of_labels(examples: Sequence[Conversation], labels: Sequence[str]) -> list[int]:
    """Which of `labels` each response is. Raises DataError, which counts them and shows none, where some are no label."""
    unknown = sum(example.response not in labels for example in examples)
    if unknown:
        raise DataError(f"task.labels: {unknown} of {len(examples)} rows have a response that is none of them; name all labels")
    return [labels.index(example.response) for example in examples]


@tasks.register("classify")
@dataclass(frozen=True)
class Classify(Labels):
    """Cross entropy of p(k|x) = p(label_k|x) / sum_j p(label_j|x), the model's likelihoods of the labels as answers, mean over rows."""

    max_prompt_length: Annotated[int, Field(ge=1, description="tokens of a prompt; a longer one keeps its end")] = 448

    def encode(self, examples: Sequence[Conversation], tokenizer: Any, template: str, max_length: int, cache: Path) -> Path:
        prompts = [answered(example, *self.labels) for example in examples]
        right = numbers_of_labels(examples, self.labels)
        return cached_answers(prompts, right, tokenizer, template, max_length, self.max_prompt_length, cache)

    def load(self, path: Path) -> Rows:
        return load_answers(path)

    def trainable(self, rows: Rows) -> bool:
        assert isinstance(rows, AnswerRows)
        return bool(rows.answer_tokens().any())

    def losses(self, model: nn.Module, rows: Rows, indices: Sequence[int]) -> Iterator[LossPart]:
        assert isinstance(rows, AnswerRows)
        check_answers(rows, indices)
        for part in answer_parts(model, rows, indices):
            scores, tokens = _scores(model, rows, part)
            yield LossPart(cross_entropy(scores, rows.right[part].to(scores.device), reduction="sum") / len(indices), tokens)

    @torch.no_grad()
    def evaluate(self, model: nn.Module, rows: Rows, groups: Sequence[int], batch_size: int) -> Measures:
        assert isinstance(rows, AnswerRows)
        parts = answer_parts(model, rows, references(groups), batch_size)
        return self.measures(((part, _scores(model, rows, part)[0]) for part in parts), rows.right, groups)


def _scores(model: nn.Module, rows: AnswerRows, part: Sequence[int]) -> tuple[Tensor, int]:
    """log p(label|x) of every label, (rows, labels), and the tokens that were computed."""
    ids, labels, _ = rows.padded(part)
    return log_probs(model, ids, labels).view(len(part), -1), ids.numel()
