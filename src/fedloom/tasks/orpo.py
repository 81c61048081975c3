"""Odds ratio preference optimisation: language modelling of the preferred answer, and its odds against the rejected one. No reference."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Annotated, ClassVar

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn.functional import logsigmoid

from fedloom.data.answers import AnswerRows, cached_answers, load_answers
from fedloom.data.records import Conversation
from fedloom.measures import Measure
from fedloom.models.encoders import TextEncoder
from fedloom.tasks.base import LOSS, LossPart, Rows, Sums, Task, tasks
from fedloom.tasks.dpo import PREFERRED, ahead, pairs
from fedloom.tasks.likelihood import PromptLength, answer_parts, references, row_sums, token_log_probs

CERTAIN = -1e-6
"""Greatest mean log probability whose odds are computed: those of a certain answer are infinite."""


@tasks.register("orpo")
@dataclass(frozen=True)
class ORPO(Task):
    """L_SFT - beta log sigma(log odds(y_w|x) - log odds(y_l|x)) (Hong et al. 2024, arXiv:2403.07691, equations 6 and 7).

    Odds are of the mean log probability per token of an answer. As in the authors' code, L_SFT is over prompt and preferred answer.
    """

    measures: ClassVar[tuple[Measure, ...]] = (
        replace(PREFERRED, note="Preferred answer ahead is the share of pairs whose chosen answer has the greater odds."),
        replace(LOSS, note="The loss is the mean over pairs."),
    )

    beta: Annotated[float, Field(gt=0, description="weight of the odds ratio beside the language modelling loss")] = 0.1
    max_prompt_length: PromptLength = None

    def encode(self, records: Sequence[Conversation], encoder: TextEncoder, cache: Path) -> Path:
        longest = self.max_prompt_length or encoder.max_length // 4
        return encoder.checked(cached_answers(pairs(records, "orpo"), [0] * len(records), *encoder.settings, longest, cache))

    def load(self, path: Path) -> Rows:
        return load_answers(path)

    def learnable(self, rows: Rows) -> Sequence[bool]:
        assert isinstance(rows, AnswerRows)
        return rows.learnable()

    def losses(self, model: nn.Module, rows: Rows, indices: Sequence[int]) -> Iterator[LossPart]:
        assert isinstance(rows, AnswerRows)
        modelled = int((rows.tokens.lengths().view(-1, 2)[list(indices), 0] - 1).sum())
        for part in answer_parts(model, rows, indices):
            likelihood, lengths, log_odds, tokens = self._compared(model, rows, part)
            loss = -likelihood.sum() / modelled - self.beta * logsigmoid(log_odds).sum() / len(indices)
            yield LossPart(loss, tokens, partial(self._each, likelihood, lengths, log_odds), part)

    def _each(self, likelihood: Tensor, lengths: Tensor, log_odds: Tensor) -> Tensor:
        """The loss of every pair by itself, (pairs,): the likelihood's mean is over the pair's own tokens."""
        return -likelihood / lengths - self.beta * logsigmoid(log_odds)

    @property
    def sum_names(self) -> tuple[str, ...]:
        return ("loss", "terms", "preferred", "rows")

    def values(self, sums: Mapping[str, float]) -> dict[str, float]:
        return {"preferred_ahead": sums["preferred"] / sums["rows"], "loss": self.mean_loss(sums)}

    @torch.no_grad()
    def evaluate(self, model: nn.Module, rows: Rows, groups: Sequence[int], batch_size: int) -> Sums:
        """The loss of each pair by itself; preferred counts the pairs whose preferred answer has the greater odds, a tie as half."""
        assert isinstance(rows, AnswerRows)
        measured = references(groups)
        loss, preferred = 0.0, 0.0
        for part in answer_parts(model, rows, measured, batch_size):
            likelihood, lengths, log_odds, _ = self._compared(model, rows, part)
            each = self._each(likelihood, lengths, log_odds)
            loss, preferred = loss + float(each.double().sum()), preferred + ahead(log_odds)
        return {"loss": loss, "terms": float(len(measured)), "preferred": preferred, "rows": float(len(measured))}

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
