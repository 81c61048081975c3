"""The suite `ds1000`: problems of data science, whose solutions are run."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any

import numpy as np
from pydantic import Field

from fedloom.data.records import Turn
from fedloom.data.rows import Row
from fedloom.evaluation.benchmark_file import FileSuite, Form
from fedloom.evaluation.code_answers import code_in
from fedloom.evaluation.program_tests import RunCode, check_allowed, passed
from fedloom.evaluation.suite import Scored, suites, total_of
from fedloom.evaluation.talker import Progress, Talker
from fedloom.measures import SHARE, Measure

VERSION = "1"
"""Changes when the prompt changes, or how a program is put together."""

LIMITS = {"seconds": 60, "memory": 4 << 30, "processes": 64}
"""The libraries take long to load, and threads."""

ENDS = ("</code>", "# SOLUTION END", "END SOLUTION")
"""What prompts write behind a solution."""


@suites.register("ds1000")
@dataclass(frozen=True)
class Ds1000(FileSuite):
    """DS-1000 (Lai et al. 2022, arXiv 2211.11501), in its simplified form: solutions with NumPy, Pandas, SciPy, Scikit-learn, Matplotlib,
    PyTorch and TensorFlow; passed: pass@1, in groups by library.

    A problem whose own solution does not pass here, since a library is not there or is another version, is counted and in no share.
    """

    name = "ds1000"
    form = Form("ds1000.jsonl", {"prompt": str, "reference_code": str, "code_context": str})
    measures = (
        Measure("passed", "tests passed", SHARE, "higher"),
        Measure("unsolvable", "problems whose own solution does not pass here", "count", "neither"),
    )

    run_code: RunCode = False
    max_new_tokens: Annotated[int, Field(ge=1, description="length of an answer in tokens")] = 512

    def check(self) -> None:
        check_allowed(self.run_code, "ds1000")
        super().check()

    def described(self) -> Mapping[str, Any]:
        return {**super().described(), "prompt": VERSION}

    def score(self, talker: Talker, progress: Progress) -> Sequence[Scored]:
        rows = self.rows()
        said = talker.answers([[Turn("user", row.columns["prompt"])] for row in rows], self.max_new_tokens, ENDS, progress)
        own = passed([program(row, row.columns["reference_code"]) for row in rows], progress, **LIMITS)
        found = passed([program(row, solution_in(answer)) for row, answer in zip(rows, said, strict=True)], progress, **LIMITS)
        values = [{"unsolvable": float(not can), **({"passed": float(does)} if can else {})} for can, does in zip(own, found, strict=True)]
        return [Scored(str(place), one, _library(row)) for place, (row, one) in enumerate(zip(rows, values, strict=True))]

    def summary(self, rows: Sequence[Scored], counts: np.ndarray) -> Mapping[str, float]:
        return {**super().summary(rows, counts), "unsolvable": total_of("unsolvable", rows, counts)}


def solution_in(answer: str) -> str:
    """The code of an answer, without the marks that prompts put around it."""
    code = re.sub(r"^\s*(?:# SOLUTION START\n|BEGIN SOLUTION\n|<code>\n)+", "", code_in(answer))
    for end in ENDS:
        code = code.split(end)[0]
    return code


def program(row: Row, solution: str) -> str:
    """The program that tells whether a solution is right: the row's own tests of what it gives, and of its words where it has such."""
    context = row.columns["code_context"]
    of_words = "test_string(code)\n" if "test_string(" in context else ""
    return f"{context}\ncode = {solution!r}\ntest_execution(code)\n{of_words}"


def _library(row: Row) -> str:
    metadata = row.columns.get("metadata")
    return str(metadata.get("library", "")) if isinstance(metadata, Mapping) else ""
