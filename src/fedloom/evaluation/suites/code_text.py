"""The suites `conala` and `concode`: code that is compared with a reference, and not run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar

import numpy as np
from pydantic import Field

from fedloom.data.records import Turn
from fedloom.data.rows import Row
from fedloom.errors import DataError
from fedloom.evaluation.benchmark_file import FileSuite, Form
from fedloom.evaluation.bleu import bleu, bleu_counts
from fedloom.evaluation.code_answers import code_in, code_tokens
from fedloom.evaluation.suite import Scored, suites
from fedloom.evaluation.talker import Progress, Talker
from fedloom.files import content_sha256, local_path
from fedloom.measures import SHARE, Measure

VERSION = "2"
"""Changes when a prompt or the way in which code is cut into tokens changes."""

FIELD_SEPARATORS = {"concode_field_sep": "\n", "concode_elem_sep": " "}
"""What stands in CONCODE's descriptions between the parts of the class, and between the parts of each."""


@dataclass(frozen=True)
class CodeText(FileSuite):
    """What both have in common: corpus BLEU-4 without smoothing over tokens of code, and how many answers have all tokens right."""

    reference: ClassVar[str]
    split_case: ClassVar[bool] = False
    measures = (
        Measure("bleu", "BLEU-4", SHARE, "higher"),
        Measure("exact_match", "exact match", SHARE, "higher"),
    )

    max_new_tokens: Annotated[int, Field(ge=1, description="length of an answer in tokens")] = 256

    def described(self) -> Mapping[str, Any]:
        return {**super().described(), "prompt": VERSION, "bleu": "corpus BLEU-4, no smoothing, tokens of code"}

    def rows(self) -> Sequence[Row]:
        rows = super().rows()
        for row in rows:
            if not row.columns[self.reference].strip():
                sha256 = content_sha256(local_path(self.data))[:12]
                raise DataError(
                    f"{row.where}: column '{self.reference}' is empty; take a split with references (this file has sha256 {sha256})"
                )
        return rows

    def score(self, talker: Talker, progress: Progress) -> Sequence[Scored]:
        rows = self.rows()
        said = talker.answers([[Turn("user", self.asked(row))] for row in rows], self.max_new_tokens, progress=progress)
        return [
            Scored(str(place), self._values(code_in(answer), row.columns[self.reference]))
            for place, (answer, row) in enumerate(zip(said, rows, strict=True))
        ]

    def summary(self, rows: Sequence[Scored], counts: np.ndarray) -> Mapping[str, float]:
        totals = dict(zip(rows[0].values, counts @ np.array([[*row.values.values()] for row in rows]), strict=True))
        return {"bleu": bleu(totals), "exact_match": float(totals["exact_match"] / counts.sum())}

    def asked(self, row: Row) -> str:
        """What the model is asked for a row."""
        raise NotImplementedError

    def _values(self, said: str, right: str) -> dict[str, float]:
        own, other = code_tokens(said, self.split_case), code_tokens(right, self.split_case)
        return {"exact_match": float(own == other), **bleu_counts(own, other)}


@suites.register("conala")
@dataclass(frozen=True)
class Conala(CodeText):
    """CoNaLa (Yin et al. 2018, arXiv 1805.08949): lines of Python from what they are to do. The rewritten intent is asked where there is
    one."""

    name = "conala"
    form = Form("CoNaLa's conala-test.json", {"intent": str, "snippet": str})
    reference = "snippet"
    split_case = True

    def asked(self, row: Row) -> str:
        return (
            f"Write Python code for this task. Answer with the code alone.\n{row.columns.get('rewritten_intent') or row.columns['intent']}"
        )


@suites.register("concode")
@dataclass(frozen=True)
class Concode(CodeText):
    """CONCODE (Iyer et al. 2018, arXiv 1808.09588), in the form of CodeXGLUE: a method of Java from its description and its class."""

    name = "concode"
    form = Form("CodeXGLUE's dev.json of CONCODE", {"nl": str, "code": str})
    reference = "code"

    def asked(self, row: Row) -> str:
        described = row.columns["nl"]
        for mark, written in FIELD_SEPARATORS.items():
            described = described.replace(mark, written)
        return f"Write a Java method for this description, which the members of its class follow. Answer with the code alone.\n{described}"
