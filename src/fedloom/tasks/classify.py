"""Text classification without a head of its own: the label that the model finds likeliest as the answer.

The labels are words that the model already knows, so a few rows teach it, and what is trained, sent and handed out is an adapter like any
other. Each row costs one forward pass per label.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Annotated, Any, ClassVar

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from fedloom.data.answers import AnswerRows, answered, cached_answers, load_answers
from fedloom.data.records import Conversation, Record
from fedloom.errors import DataError, RecipeError
from fedloom.measures import SHARE, Measure
from fedloom.models.encoders import TextEncoder
from fedloom.tasks.base import LOSS, LossPart, Rows, Sums, Task, tasks
from fedloom.tasks.likelihood import PromptLength, answer_parts, log_probs, references

ACCURACY = Measure("accuracy", "accuracy", SHARE, "higher", note="Accuracy is the share of rows whose highest-scoring label is right.")
MACRO_F1 = Measure(
    "macro_f1",
    "macro F1",
    SHARE,
    "higher",
    note="Macro F1 is the mean over labels of 2 TP / (2 TP + FP + FN), with the counts of all clients' rows pooled;"
    " a label that is neither present nor predicted is left out.",
)

LABEL_LOSS = replace(LOSS, note="The loss is the cross entropy of the right label, mean over rows.")


@dataclass(frozen=True)
class Labels(Task):
    """The labels that a classification chooses from, and what it measures."""

    measures: ClassVar[tuple[Measure, ...]] = (
        ACCURACY,
        MACRO_F1,
        LABEL_LOSS,
    )
    majority_measure: ClassVar[str | None] = ACCURACY.name

    labels: Annotated[
        tuple[Annotated[str, Field(min_length=1)], ...], Field(min_length=2, description="all labels, as they stand in the data")
    ] = field(kw_only=True)

    def __post_init__(self) -> None:
        super().__post_init__()
        if len(set(self.labels)) < len(self.labels):
            raise RecipeError("task.labels: names a label twice; name each once")

    @property
    def sum_names(self) -> tuple[str, ...]:
        counts = (
            f"{kind}/{number}" for kind in ("true_positive", "false_positive", "false_negative") for number in range(len(self.labels))
        )
        return ("loss", "terms", "right", "rows", *counts)

    def labels_of(self, rows: Any) -> Sequence[int]:
        found: list[int] = rows.right.tolist()
        return found

    def values(self, sums: Mapping[str, float]) -> dict[str, float]:
        return {
            "accuracy": sums["right"] / sums["rows"],
            "macro_f1": macro_f1(sums, len(self.labels)),
            "loss": self.mean_loss(sums),
        }

    def counted(self, scored: Iterable[tuple[Sequence[int], Tensor]], right: Tensor, groups: Sequence[int]) -> Sums:
        """The sums of rows, from the scores of shape (rows, labels) of every part of them.

        A row is right when its highest score is that of its label, or of one of its further right answers. A right row is a true positive
        of the label that it got; a wrong one is a false positive of that label, and a false negative of its own.
        """
        right_of = defaultdict(set)
        for group, label in zip(groups, right.tolist(), strict=True):
            right_of[group].add(label)
        sums = self.no_sums()
        for part, scores in scored:
            sums["loss"] += float(cross_entropy(scores, right[part].to(scores.device), reduction="sum"))
            for row, found in zip(part, scores.argmax(1).tolist(), strict=True):
                if found in right_of[groups[row]]:
                    sums["right"] += 1
                    sums[f"true_positive/{found}"] += 1
                else:
                    sums[f"false_positive/{found}"] += 1
                    sums[f"false_negative/{int(right[row])}"] += 1
            sums["terms"] += len(part)
            sums["rows"] += len(part)
        return sums


def macro_f1(sums: Mapping[str, float], labels: int) -> float:
    """The mean of F1 = 2 TP / (2 TP + FP + FN) over the labels that are present or predicted; 0 where none is."""
    scores = []
    for number in range(labels):
        twice = 2 * sums[f"true_positive/{number}"]
        if (total := twice + sums[f"false_positive/{number}"] + sums[f"false_negative/{number}"]) > 0:
            scores.append(twice / total)
    return sum(scores) / len(scores) if scores else 0.0


def numbers_of_labels(records: Sequence[Record], labels: Sequence[str]) -> list[int]:
    """The number of each record's label in `labels`. Raises DataError, which shows no label, where records have another one."""
    number_of = {label: number for number, label in enumerate(labels)}
    found = [number_of.get(record.label) for record in records]
    if unknown := found.count(None):
        raise DataError(f"task.labels: {unknown} of {len(records)} rows have a label that is none of them; name all labels")
    return [number for number in found if number is not None]


@tasks.register("classify")
@dataclass(frozen=True)
class Classify(Labels):
    """Cross entropy of p(k|x) = p(label_k|x) / sum_j p(label_j|x), the model's likelihoods of the labels as answers, mean over rows."""

    max_prompt_length: PromptLength = None

    def encode(self, records: Sequence[Conversation], encoder: TextEncoder, cache: Path) -> Path:
        prompts = [answered(record, *self.labels) for record in records]
        right = numbers_of_labels(records, self.labels)
        return encoder.checked(
            cached_answers(prompts, right, *encoder.settings, self.max_prompt_length or encoder.max_length * 7 // 8, cache)
        )

    def load(self, path: Path) -> Rows:
        return load_answers(path)

    def learnable(self, rows: Rows) -> Sequence[bool]:
        assert isinstance(rows, AnswerRows)
        return rows.learnable()

    def losses(self, model: nn.Module, rows: Rows, indices: Sequence[int]) -> Iterator[LossPart]:
        assert isinstance(rows, AnswerRows)
        for part in answer_parts(model, rows, indices):
            scores, tokens = _scores(model, rows, part)
            yield labelled_part(scores, rows.right, part, len(indices), tokens)

    @torch.no_grad()
    def evaluate(self, model: nn.Module, rows: Rows, groups: Sequence[int], batch_size: int) -> Sums:
        assert isinstance(rows, AnswerRows)
        parts = answer_parts(model, rows, references(groups), batch_size)
        return self.counted(((part, _scores(model, rows, part)[0]) for part in parts), rows.right, groups)


def labelled_part(scores: Tensor, right: Tensor, part: Sequence[int], rows: int, computed: int) -> LossPart:
    """The cross entropy of `scores` (part, labels) with the labels' numbers `right` (all rows,), as a part of a batch of `rows` rows."""
    wanted = right[list(part)].to(scores.device)
    each = partial(cross_entropy, scores, wanted, reduction="none")
    return LossPart(cross_entropy(scores, wanted, reduction="sum") / rows, computed, each, part)


def _scores(model: nn.Module, rows: AnswerRows, part: Sequence[int]) -> tuple[Tensor, int]:
    """log p(label|x) of every label, (rows, labels), and the tokens that were computed."""
    ids, labels, _ = rows.padded(part)
    return log_probs(model, ids, labels).view(len(part), -1), ids.numel()
