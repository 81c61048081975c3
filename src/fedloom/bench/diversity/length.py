"""Length: of instruction and response, in words and in tokens of the model."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from fedloom.bench.diversity.base import Analysis, Columns, Tools, analyses, answered, asked
from fedloom.bench.diversity.found import ALL, CLIENTS, Boxes, Cell, Found, Table, joined, quantiles_of, summary
from fedloom.data.records import Conversation
from fedloom.measures import Measure, counted
from fedloom.synthesis.words import count_words

NAMES = {
    "instruction_words": "instruction, words",
    "response_words": "response, words",
    "instruction_tokens": "instruction, tokens",
    "response_tokens": "response, tokens",
}
"""Column -> its title."""
COLUMNS = (counted("rows", "rows"), *(Measure(name, title, "", "neither") for name, title in NAMES.items()))


@analyses.register("length")
@dataclass(frozen=True)
class Length(Analysis):
    """Words and tokens of every instruction and every response."""

    title: ClassVar[str] = "Length"
    about: ClassVar[str] = (
        "Words and tokens of instruction and response, mean ± standard deviation over rows. All turns of a conversation count; system"
        " turns and the marks of a template do not. In scripts without spaces two letters count as a word."
    )

    def made_with(self, tools: Tools) -> Any:
        return tools.tokenizer_version

    def values(self, rows: Sequence[Conversation], tools: Tools) -> Columns:
        texts = {"instruction": [asked(row) for row in rows], "response": [answered(row) for row in rows]}
        words = {f"{part}_words": np.array([count_words(text) for text in found]) for part, found in texts.items()}
        return words | {f"{part}_tokens": _tokens(found, tools.tokenizer) for part, found in texts.items()}

    def found(self, columns: Mapping[str, Columns], sizes: Mapping[str, int], tools: Tools) -> Found:
        rows = {client: _row(found) for client, found in columns.items()}
        total = _row({name: joined(columns, name) for name in NAMES})
        table = Table(CLIENTS, "Length per client", "client", COLUMNS, rows, total)
        return Found((table,), tuple(_chart(part, {**rows, ALL: total}) for part in ("instruction", "response")))


def _tokens(texts: Sequence[str], tokenizer: Any) -> np.ndarray:
    return np.array([len(ids) for ids in tokenizer(texts, add_special_tokens=False, verbose=False)["input_ids"]])


def _chart(part: str, rows: Mapping[str, Mapping[str, Cell]]) -> Boxes:
    boxes = {client: quantiles_of(f"{part}_words", row) for client, row in rows.items()}
    return Boxes(part, f"Length of the {part}", "words", {"": boxes})


def _row(found: Columns) -> dict[str, Cell]:
    row: dict[str, Cell] = {"rows": len(found["instruction_words"])}
    for name in NAMES:
        row |= summary(name, found[name])
    return row
