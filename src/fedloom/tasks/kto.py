"""Kahneman-Tversky optimisation: answers that are good or bad by themselves, so that a thumbs up or down is enough."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Annotated, ClassVar

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn.utils.rnn import pad_sequence

from fedloom.data.answers import AnswerRows, cached_answers, load_answers
from fedloom.data.records import Conversation
from fedloom.errors import DataError, RecipeError
from fedloom.measures import SHARE, Measure
from fedloom.models.encoders import TextEncoder
from fedloom.tasks.base import LOSS, LossPart, Rows, Sums, Task, tasks
from fedloom.tasks.dpo import pairs
from fedloom.tasks.likelihood import PromptLength, answer_parts, log_probs, reference_log_probs, references
from fedloom.tasks.sft import part_tokens, parts_of_similar_length

RIGHT_SIDE = Measure(
    "right_side",
    "answers on their side",
    SHARE,
    "higher",
    note="Answers on their side is the share of rows whose answers the tuned model favours, or disfavours, as it should.",
)

RIGHT = {"true": 0, "1": 0, "false": -1, "0": -1}


@tasks.register("kto")
@dataclass(frozen=True)
class KTO(Task):
    """lambda (1 - v(x, y)), mean over answers (Ethayarajh et al. 2024, arXiv:2402.01306, equation 7).

    v = sigma(beta (r - z)) for a good answer and sigma(beta (z - r)) for a bad one, r the log ratio of model and reference, and z the
    same of answers to other prompts of the batch, mean and at least zero. Rows are answers with a label, or preference pairs, whose
    answers count as one good and one bad.
    """

    measures: ClassVar[tuple[Measure, ...]] = (RIGHT_SIDE, replace(LOSS, note="The loss is the mean over answers."))
    couples_rows: ClassVar[bool] = True

    min_learning_rate: Annotated[float, Field(ge=0, description="learning rate that the schedule ends at")] = 1e-5
    beta: Annotated[float, Field(gt=0, description="how closely the model is held to the reference, the base without adapters")] = 0.1
    desirable_weight: Annotated[float, Field(ge=0, description="lambda of good answers")] = 1.0
    undesirable_weight: Annotated[float, Field(ge=0, description="lambda of bad answers")] = 1.0
    label: Annotated[str, Field(description="column that says whether a row's answer is good: true, false, 1 or 0")] = "label"
    max_prompt_length: PromptLength = None

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.batch_size < 2:
            raise RecipeError("task.batch_size: is 1, but kto compares each prompt with the answers to others; set 2 or more")

    def encode(self, records: Sequence[Conversation], encoder: TextEncoder, cache: Path) -> Path:
        if any(record.rejected is not None for record in records):
            prompts, right = pairs(records, "kto"), [0] * len(records)
        else:
            prompts, right = [[record] for record in records], self._labels(records)
        return encoder.checked(cached_answers(prompts, right, *encoder.settings, self.max_prompt_length or encoder.max_length // 4, cache))

    def load(self, path: Path) -> Rows:
        return load_answers(path)

    def learnable(self, rows: Rows) -> Sequence[bool]:
        assert isinstance(rows, AnswerRows)
        return rows.learnable()

    def losses(self, model: nn.Module, rows: Rows, indices: Sequence[int]) -> Iterator[LossPart]:
        assert isinstance(rows, AnswerRows)
        divergence = self._divergence(model, rows, indices)
        for part in answer_parts(model, rows, indices):
            gains, good, tokens = self._gains(model, rows, part, divergence)
            weighted = self._weighted(gains, good)
            yield LossPart(weighted.sum() / (len(indices) * rows.answers), tokens, partial(weighted.mean, 1), part)

    @property
    def sum_names(self) -> tuple[str, ...]:
        return ("loss", "terms", "right", "rows")

    def values(self, sums: Mapping[str, float]) -> dict[str, float]:
        return {"right_side": sums["right"] / sums["rows"], "loss": self.mean_loss(sums)}

    @torch.no_grad()
    def evaluate(self, model: nn.Module, rows: Rows, groups: Sequence[int], batch_size: int) -> Sums:
        """The loss over answers, with z from all rows; right counts the rows with every answer on its side of z. At the base none is."""
        assert isinstance(rows, AnswerRows)
        measured = references(groups)
        divergence = self._divergence(model, rows, measured)
        loss, right = 0.0, 0
        for part in answer_parts(model, rows, measured, batch_size):
            gains, good, _ = self._gains(model, rows, part, divergence)
            loss += float(self._weighted(gains, good).double().sum())
            right += int((gains > 0).all(1).sum())
        return {"loss": loss, "terms": float(len(measured) * rows.answers), "right": float(right), "rows": float(len(measured))}

    def _labels(self, examples: Sequence[Conversation]) -> list[int]:
        labels = [RIGHT.get(example.fields.get(self.label, "").lower()) for example in examples]
        if missing := labels.count(None):
            raise DataError(
                f"task.kind: kto needs good and bad answers, but {missing} of {len(examples)} rows have no true or false in "
                f"the column '{self.label}'; name yours in task.label, or give preference pairs"
            )
        return [label for label in labels if label is not None]

    def _gains(self, model: nn.Module, rows: AnswerRows, part: Sequence[int], divergence: Tensor) -> tuple[Tensor, Tensor, int]:
        """beta (r - z) of good answers and beta (z - r) of bad ones, which of them are good, each (prompts, answers); tokens computed."""
        ids, labels, _ = rows.padded(part)
        reference = reference_log_probs(model, ids, labels)
        ratios = (log_probs(model, ids, labels) - reference).view(len(part), -1)
        good = (torch.arange(rows.answers) == rows.right[list(part), None]).to(ratios.device)
        return self.beta * torch.where(good, ratios - divergence, divergence - ratios), good, ids.numel()

    def _weighted(self, gains: Tensor, good: Tensor) -> Tensor:
        weights = torch.where(good, self.desirable_weight, self.undesirable_weight)
        return weights * (1 - torch.sigmoid(gains))

    @torch.no_grad()
    def _divergence(self, model: nn.Module, rows: AnswerRows, indices: Sequence[int]) -> Tensor:
        """z: max(0, the mean log ratio of every prompt with the answers to the prompt before it), a number; 0 where there is no other."""
        different = list(dict.fromkeys(indices))  # a client with few rows may have one twice, and its own answers are not another's
        if len(different) < 2:
            return torch.zeros((), device=next(model.parameters()).device)
        found = [rows.tokens.row(index * rows.answers + answer) for index in different for answer in range(rows.answers)]
        answers = [ids[mask] for ids, mask in found]
        shifted = [(ids[~mask], answers[number - rows.answers]) for number, (ids, mask) in enumerate(found)]
        lengths = torch.tensor([len(prompt) + len(answer) for prompt, answer in shifted])
        total = torch.zeros((), device=next(model.parameters()).device)
        for part in parts_of_similar_length(lengths, range(len(shifted)), tokens=part_tokens(model)):
            ids = pad_sequence([torch.cat(shifted[number]) for number in part], batch_first=True)
            labelled = [torch.cat([torch.full_like(shifted[number][0], -100), shifted[number][1]]) for number in part]
            labels = pad_sequence(labelled, batch_first=True, padding_value=-100)
            total += (log_probs(model, ids, labels) - reference_log_probs(model, ids, labels)).sum()
        return (total / len(shifted)).clamp(min=0)
