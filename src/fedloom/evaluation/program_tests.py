"""Programs that a model wrote, with the tests that they are to pass: run in the sandbox alone, and only when the user says so."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

from pydantic import Field

from fedloom.errors import RecipeError
from fedloom.evaluation import sandbox
from fedloom.evaluation.talker import Progress

RunCode = Annotated[bool, Field(description="run the programs that the model writes, in a sandbox: has to be true")]


def check_allowed(run_code: bool, suite: str) -> None:
    """Raise RecipeError unless the user lets programs run, on a machine that can shut them in."""
    if not run_code:
        raise RecipeError(
            f"{suite}.run_code: programs that the model wrote are run, in a sandbox; write {suite}.run_code=true if you agree"
        )
    sandbox.check_sandbox()


def passed(programs: Sequence[str], progress: Progress, **limits: int) -> list[bool]:
    """Whether each program, its tests behind it, comes to its end in the sandbox. `limits` are fields of its `Limits`."""
    found = []
    for program in programs:
        found.append(sandbox.passes(program, sandbox.Limits(**limits)))
        progress(len(found), len(programs))
    return found
