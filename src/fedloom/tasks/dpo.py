"""Direct preference optimisation: make the preferred answer likelier than the rejected one, measured against the base model.

The reference is the base with its adapters off, so it costs a forward pass but no memory.
"""

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

from fedloom.data.answers import AnswerRows, answered, cached_answers, load_answers
from fedloom.data.records import Conversation
from fedloom.errors import DataError
from fedloom.measures import SHARE, Measure
from fedloom.models.encoders import TextEncoder
from fedloom.tasks.base import LOSS, LossPart, Rows, Sums, Task, tasks
from fedloom.tasks.likelihood import PromptLength, answer_parts, log_probs, reference_log_probs, references

PREFERRED = Measure("preferred_ahead", "preferred answer ahead", SHARE, "higher")


@tasks.register("dpo")
@dataclass(frozen=True)
class DPO(Task):
    """-log sigma(beta (log pi(y_w|x)/pi_ref(y_w|x) - log pi(y_l|x)/pi_ref(y_l|x))), mean over pairs (Rafailov et al. 2023, equation 7)."""

    measures: ClassVar[tuple[Measure, ...]] = (
        replace(
            PREFERRED,
            note="Preferred answer ahead is the share of pairs in which the tuned model favours the chosen answer more than its base did; a"
            " tie is half of one, so that the base itself has 50%.",
        ),
        replace(LOSS, note="The loss is the mean over pairs."),
    )

    min_learning_rate: Annotated[float, Field(ge=0, description="learning rate that the schedule ends at")] = 1e-5
    beta: Annotated[float, Field(gt=0, description="how closely the model is held to the reference, the base without adapters")] = 0.1
    max_prompt_length: PromptLength = None

    def encode(self, records: Sequence[Conversation], encoder: TextEncoder, cache: Path) -> Path:
        longest = self.max_prompt_length or encoder.max_length // 4
        return encoder.checked(cached_answers(pairs(records, "dpo"), [0] * len(records), *encoder.settings, longest, cache))

    def load(self, path: Path) -> Rows:
        return load_answers(path)

    def learnable(self, rows: Rows) -> Sequence[bool]:
        assert isinstance(rows, AnswerRows)
        return rows.learnable()

    def losses(self, model: nn.Module, rows: Rows, indices: Sequence[int]) -> Iterator[LossPart]:
        assert isinstance(rows, AnswerRows)
        for part in answer_parts(model, rows, indices):
            margins, tokens = self._margins(model, rows, part)
            yield LossPart(-logsigmoid(margins).sum() / len(indices), tokens, partial(_each, margins), part)

    @property
    def sum_names(self) -> tuple[str, ...]:
        return ("loss", "terms", "preferred", "rows")

    def values(self, sums: Mapping[str, float]) -> dict[str, float]:
        return {"preferred_ahead": sums["preferred"] / sums["rows"], "loss": self.mean_loss(sums)}

    @torch.no_grad()
    def evaluate(self, model: nn.Module, rows: Rows, groups: Sequence[int], batch_size: int) -> Sums:
        """The loss over pairs; preferred counts the pairs with a reward margin above zero, and half of those with none: at the base every
        margin is zero. TRL's accuracy of rewards counts a tie as wrong."""
        assert isinstance(rows, AnswerRows)
        pairs_measured = references(groups)
        loss, preferred = 0.0, 0.0
        for part in answer_parts(model, rows, pairs_measured, batch_size):
            margins, _ = self._margins(model, rows, part)
            loss, preferred = loss - float(logsigmoid(margins).double().sum()), preferred + ahead(margins)
        return {"loss": loss, "terms": float(len(pairs_measured)), "preferred": preferred, "rows": float(len(pairs_measured))}

    def _margins(self, model: nn.Module, rows: AnswerRows, part: Sequence[int]) -> tuple[Tensor, int]:
        """beta times the difference of the two log ratios, (pairs,), and the tokens that were computed."""
        ids, labels, _ = rows.padded(part)
        reference = reference_log_probs(model, ids, labels)
        ratios = (log_probs(model, ids, labels) - reference).view(-1, 2)
        return self.beta * (ratios[:, 0] - ratios[:, 1]), ids.numel()


def ahead(margins: Tensor) -> float:
    """How many margins are above zero; one of zero is half of one."""
    return float((margins > 0).sum() + 0.5 * (margins == 0).sum())


def _each(margins: Tensor) -> Tensor:
    return -logsigmoid(margins)


def pairs(examples: Sequence[Conversation], kind: str) -> list[list[Conversation]]:
    """Every example with its preferred and with its rejected answer. Raises DataError for examples that are no preference pairs."""
    missing = sum(example.rejected is None for example in examples)
    if missing:
        raise DataError(
            f"task.kind: {kind} needs preference pairs, but {missing} of {len(examples)} rows have no rejected answer; "
            "give columns prompt, chosen and rejected, or name yours in data.fields"
        )
    return [answered(example, example.response, example.rejected or "") for example in examples]
