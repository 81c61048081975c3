"""Odds ratio preference optimisation: language modelling of the preferred answer, and its odds against the rejected one. No reference."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn.functional import logsigmoid

from fedloom.data.answers import AnswerRows, cached_answers, load_answers
from fedloom.data.records import Conversation
from fedloom.tasks.base import LossPart, Measures, Rows, Task, tasks
from fedloom.tasks.dpo import pairs
from fedloom.tasks.likelihood import answer_parts, check_answers, references, row_sums, token_log_probs

CERTAIN = -1e-6
"""Greatest mean log probability whose odds are computed: those of a certain answer are infinite."""


@tasks.register("orpo")
@dataclass(frozen=True)
class ORPO(Task):
    """L_SFT - beta log sigma(log odds(y_w|x) - log odds(y_l|x)) (Hong et al. 2024, arXiv:2403.07691, equations 6 and 7).

    Odds are of the mean log probability per token of an answer. As in the authors' code, L_SFT is over prompt and preferred answer.
    """

    has_majority = False

    beta: Annotated[float, Field(gt=0, description="weight of the odds ratio beside the language modelling loss")] = 0.1
    max_prompt_length: Annotated[int, Field(ge=1, description="tokens of a prompt; a longer one keeps its end")] = 128

    def encode(self, examples: Sequence[Conversation], tokenizer: Any, template: str, max_length: int, cache: Path) -> Path:
        return cached_answers(pairs(examples, "orpo"), [0] * len(examples), tokenizer, template, max_length, self.max_prompt_length, cache)

    def load(self, path: Path) -> Rows:
        return load_answers(path)

    def trainable(self, rows: Rows) -> bool:
        assert isinstance(rows, AnswerRows)
        return bool(rows.answer_tokens().any())

    def losses(self, model: nn.Module, rows: Rows, indices: Sequence[int]) -> Iterator[LossPart]:
        assert isinstance(rows, AnswerRows)
        check_answers(rows, indices)
        modelled = int((rows.tokens.lengths().view(-1, 2)[list(indices), 0] - 1).sum())
        for part in answer_parts(model, rows, indices):
            likelihood, _, log_odds, tokens = self._compared(model, rows, part)
            yield LossPart(-likelihood.sum() / modelled - self.beta * logsigmoid(log_odds).sum() / len(indices), tokens)

    @torch.no_grad()
    def evaluate(self, model: nn.Module, rows: Rows, groups: Sequence[int], batch_size: int) -> Measures:
        """The loss of each pair by itself; exact is a pair whose preferred answer has the greater odds."""
        assert isinstance(rows, AnswerRows)
        measured = references(groups)
        loss, exact = 0.0, 0
        for part in answer_parts(model, rows, measured, batch_size):
            likelihood, lengths, log_odds, _ = self._compared(model, rows, part)
            each = -likelihood / lengths - self.beta * logsigmoid(log_odds)
            loss, exact = loss + float(each.double().sum()), exact + int((log_odds > 0).sum())
        return Measures(loss, len(measured), exact, len(measured))

    def _compared(self, model: nn.Module, rows: AnswerRows, part: Sequence[int]) -> tuple[Tensor, Tensor, Tensor, int]:
        """log p of prompt and preferred answer and the tokens that it sums over, the log odds ratio, each (pairs,); tokens computed."""
        ids, labels, there = rows.padded(part)
        everything = labels.clone()
        everything[::2] = ids[::2].masked_fill(~there[::2], -100)
        found = token_log_probs(model, ids, everything)
        counted = (labels[:, 1:] >= 0)[everything[:, 1:] >= 0].to(found.device)
        likelihood = row_sums(found, everything)[::2]
        lengths = (everything[::2, 1:] >= 0).sum(1).clamp(min=1).to(found.device)
        answer_lengths = (labels[:, 1:] >= 0).sum(1).clamp(min=1).to(found.device)
        means = (row_sums(found * counted, everything) / answer_lengths).clamp(max=CERTAIN).view(-1, 2)
        log_odds = means - torch.log(-torch.expm1(means))
        return likelihood, lengths, log_odds[:, 0] - log_odds[:, 1], ids.numel()
