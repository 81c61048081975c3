"""The suites `humanevalfix` and `humanevalsynthesize`: functions of Python that a model mends, or writes from a description."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any

from pydantic import Field

from fedloom.data.records import Turn
from fedloom.data.rows import Row
from fedloom.errors import DataError
from fedloom.evaluation.benchmark_file import FileSuite, Form
from fedloom.evaluation.code_answers import with_function
from fedloom.evaluation.program_tests import RunCode, check_allowed, passed
from fedloom.evaluation.suite import Scored, suites
from fedloom.evaluation.talker import Progress, Talker
from fedloom.measures import SHARE, Measure

VERSION = "1"
"""Changes when a prompt changes, or how a program is put together."""

COLUMNS: dict[str, type] = {"task_id": str, "declaration": str, "test": str, "entry_point": str}


@dataclass(frozen=True)
class HumanEvalPack(FileSuite):
    """What both have in common: one greedy answer to each task, put together with the task's tests and run."""

    measures = (Measure("passed", "tests passed", SHARE, "higher"),)

    run_code: RunCode = False
    max_new_tokens: Annotated[int, Field(ge=1, description="length of an answer in tokens")] = 512

    def check(self) -> None:
        check_allowed(self.run_code, self.name)
        super().check()

    def described(self) -> Mapping[str, Any]:
        return {**super().described(), "prompt": VERSION}

    def rows(self) -> Sequence[Row]:
        rows = super().rows()
        for row in rows:
            if not row.columns["task_id"].startswith("Python/"):
                raise DataError(
                    f"{row.where}: is the task {row.columns['task_id'][:40]}; take HumanEvalPack's tasks of Python, the ones run here"
                )
        return rows

    def score(self, talker: Talker, progress: Progress) -> Sequence[Scored]:
        rows = self.rows()
        said = talker.answers([[Turn("user", self.asked(row))] for row in rows], self.max_new_tokens, progress=progress)
        found = passed([program(row, answer) for row, answer in zip(rows, said, strict=True)], progress)
        return [Scored(row.columns["task_id"], {"passed": float(one)}) for row, one in zip(rows, found, strict=True)]

    def asked(self, row: Row) -> str:
        """What the model is asked for a row."""
        raise NotImplementedError


@suites.register("humanevalfix")
@dataclass(frozen=True)
class HumanEvalFix(HumanEvalPack):
    """HumanEvalFix (Muennighoff et al. 2023, arXiv 2308.07124): functions with a bug and the tests that they fail; passed: pass@1."""

    name = "humanevalfix"
    form = Form("HumanEvalPack's tasks of Python", {**COLUMNS, "buggy_solution": str})

    def asked(self, row: Row) -> str:
        columns = row.columns
        return f"{columns['declaration']}{columns['buggy_solution']}\n{columns['test']}\nFix bugs in {columns['entry_point']}."


@suites.register("humanevalsynthesize")
@dataclass(frozen=True)
class HumanEvalSynthesize(HumanEvalPack):
    """HumanEvalSynthesize (Muennighoff et al. 2023, arXiv 2308.07124): functions from their description; passed: pass@1."""

    name = "humanevalsynthesize"
    form = Form("HumanEvalPack's tasks of Python", {**COLUMNS, "instruction": str})

    def asked(self, row: Row) -> str:
        return str(row.columns["instruction"])


def program(row: Row, answer: str) -> str:
    """The program that tells whether an answer passes: the function that it holds, and the task's tests."""
    columns = row.columns
    function = with_function(answer, columns["declaration"], columns["entry_point"])
    return f"{columns.get('test_setup') or ''}\n{function}\n{columns['test']}\n"
