"""Quality: how much an instruction helps a model to say its answer (IFD).

Instruction-following difficulty, Li et al. 2023 (arXiv:2308.12032), with a_1 ... a_N the tokens of the answer A and Q what it
answers:

    s(A|Q) = -1/N sum_i log p(a_i | Q, a_1 ... a_(i-1))      s(A) = -1/N sum_i log p(a_i | a_1 ... a_(i-1))      IFD = s(A|Q) / s(A)

Both means are over the same tokens: those of the last answer of the row, as the template and the tokenizer write the whole row, without
special tokens behind it (the end of the turn). Q is all that stands before: earlier turns, the instruction and the template around them.
Of A alone nothing stands before a_1 but the token with which the tokenizer itself begins a text. Where it has none, log p(a_1) is not
defined, and a_1 counts in neither mean. Rows that are too long are cut as preference pairs are: what is asked keeps its last quarter of
`max_length`, and the answer the rest.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import pad_sequence

from fedloom.bench.diversity.base import Analysis, Columns, Tools, analyses
from fedloom.bench.diversity.found import ALL, CLIENTS, Boxes, Cell, Found, Table, joined, quantiles_of, summary
from fedloom.data.answers import tokenise_answers
from fedloom.data.prefixes import lead
from fedloom.data.records import Conversation
from fedloom.measures import SHARE, Measure, counted
from fedloom.models.load import learned_positions
from fedloom.tasks.likelihood import log_probs
from fedloom.tasks.sft import part_tokens, parts_of_similar_length

COLUMNS = (
    counted("rows", "rows"),
    counted("scored", "rows with a value"),
    Measure("ifd", "IFD", "", "neither"),
    Measure("with", "loss with the instruction", "nats", "neither"),
    Measure("alone", "loss without", "nats", "neither"),
    Measure("no_help", "IFD of 1 or more", SHARE, "neither"),
)

Labelled = tuple[Tensor, Tensor]
"""Token ids and labels of a row, both (tokens,); labels are -100 where a token does not count."""


@analyses.register("quality")
@dataclass(frozen=True)
class Quality(Analysis):
    """Instruction-following difficulty of every row with the base model."""

    title: ClassVar[str] = "Quality (IFD)"
    about: ClassVar[str] = (
        "Instruction-following difficulty: the base model's mean loss per token of the answer after its instruction, divided by that of the"
        " answer alone (Li et al. 2023). Near 0 the instruction gives the answer away, near 1 it hardly helps, and at 1 or more the answer"
        " does not belong to it, or the model does not understand it."
    )

    def made_with(self, tools: Tools) -> Any:
        return tools.model_version

    def values(self, rows: Sequence[Conversation], tools: Tools) -> Columns:
        loaded = tools.loaded
        longest = min(tools.max_length, learned_positions(loaded.model) or tools.max_length)
        pairs = [labelled(ids, mask, loaded.tokenizer) for ids, mask in _tokens(rows, loaded.tokenizer, tools.template, longest)]
        return {
            "with": mean_losses(loaded.model, [whole for whole, _ in pairs]),
            "alone": mean_losses(loaded.model, [alone for _, alone in pairs]),
        }

    def found(self, columns: Mapping[str, Columns], sizes: Mapping[str, int], tools: Tools) -> Found:
        rows = {client: _row(found) for client, found in columns.items()}
        total = _row({name: joined(columns, name) for name in ("with", "alone")})
        table = Table(CLIENTS, "Instruction-following difficulty per client", "client", COLUMNS, rows, total)
        boxes = {client: quantiles_of("ifd", row) for client, row in {**rows, ALL: total}.items()}
        chart = Boxes("ifd", "Instruction-following difficulty", "IFD", {"": boxes}, line=1.0)
        return Found((table,), (chart,), tuple(_notes(total, tools)))


def labelled(ids: Tensor, supervised: Tensor, tokenizer: Any) -> tuple[Labelled, Labelled]:
    """The whole row, and its answer alone, each with labels at the tokens that count: the same in both.

    `ids` (tokens,) is a row whose answer, its last run of tokens, is `supervised`.
    """
    begin = lead(tokenizer)
    answer = supervised.nonzero().flatten().tolist()
    marks = set(tokenizer.all_special_ids) - {tokenizer.unk_token_id}
    while answer and int(ids[answer[-1]]) in marks:
        answer.pop()
    counted_tokens = answer if begin else answer[1:]
    alone = torch.tensor([*begin, *(int(ids[place]) for place in answer)], dtype=torch.long)
    labels = alone.clone()
    labels[: len(alone) - len(counted_tokens)] = -100
    whole = torch.full_like(ids, -100)
    whole[counted_tokens] = ids[counted_tokens]
    return (ids, whole), (alone, labels)


@torch.inference_mode()
def mean_losses(model: nn.Module, rows: Sequence[Labelled]) -> np.ndarray:
    """The mean loss, in nats, of each row over the tokens that have a label, (rows,) fp32; NaN for a row without one."""
    counts = torch.tensor([int((labels >= 0).sum()) for _, labels in rows])
    lengths = torch.tensor([len(ids) for ids, _ in rows])
    losses = torch.full((len(rows),), torch.nan)
    for part in parts_of_similar_length(lengths, counts.nonzero().flatten().tolist(), tokens=part_tokens(model)):
        ids = pad_sequence([rows[place][0] for place in part], batch_first=True)
        labels = pad_sequence([rows[place][1] for place in part], batch_first=True, padding_value=-100)
        losses[part] = -log_probs(model, ids, labels).cpu() / counts[part]
    return losses.numpy()


def _tokens(rows: Sequence[Conversation], tokenizer: Any, template: str, max_length: int) -> list[Labelled]:
    found = tokenise_answers([[row] for row in rows], [0] * len(rows), tokenizer, template, max_length, max_length // 4)
    return [found.tokens.row(place) for place in range(len(rows))]


def _row(found: Columns) -> dict[str, Cell]:
    with np.errstate(divide="ignore", invalid="ignore"):
        ifd = np.where(found["alone"] > 0, found["with"] / found["alone"], np.nan)
    scored = ifd[np.isfinite(ifd)]
    return {
        "rows": len(ifd),
        "scored": len(scored),
        **summary("ifd", scored),
        **summary("with", found["with"]),
        **summary("alone", found["alone"]),
        "no_help": float((scored >= 1).mean()) if len(scored) else None,
    }


def _notes(total: Mapping[str, Cell], tools: Tools) -> list[str]:
    notes = [f"The base model is {tools.model.id}; rows have {tools.max_length:,} tokens at the most, in the template {tools.template}."]
    if without := int(total["rows"] or 0) - int(total["scored"] or 0):
        notes.append(f"{without:,} rows have no value: their answer has no token that can be scored without its instruction.")
    return notes
