"""Programs that a model wrote, with the tests that they are to pass: run in the sandbox alone, and only when the user says so."""

from __future__ import annotations

from collections.abc import Sequence
from importlib import import_module
from typing import Annotated

from pydantic import Field

from fedloom.errors import RecipeError
from fedloom.evaluation.talker import Progress

RunCode = Annotated[bool, Field(description="run the programs that the model writes, in a sandbox: has to be true")]


def check_allowed(run_code: bool, suite: str) -> None:
    """Raise RecipeError unless the user lets programs run."""
    if not run_code:
        raise RecipeError(
            f"{suite}.run_code: the suite runs programs that the model wrote, in a sandbox; write {suite}.run_code=true if you agree"
        )


def passed(programs: Sequence[str], progress: Progress) -> list[bool]:
    """Whether each program, its tests behind it, runs to its end in the sandbox."""
    passes = import_module("fedloom.evaluation.sandbox").passes
    found = []
    for program in programs:
        found.append(bool(passes(program)))
        progress(len(found), len(programs))
    return found
