"""Talk to the tuned model of a run in the terminal."""

from __future__ import annotations

import contextlib
import select
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

from fedloom.data.records import Turn
from fedloom.data.templates import render_prompt
from fedloom.errors import ModelError
from fedloom.federation.run_folder import RunFolder, existing_run
from fedloom.handing_out import check_whole, tuned_bench
from fedloom.local_run import bench_plan
from fedloom.models.encoders import TextEncoder
from fedloom.models.generate import stream
from fedloom.models.kinds import kinds
from fedloom.recipe import Recipe
from fedloom.resolve import load_recipe
from fedloom.studies.repaired import existing_repair

QUOTES = '"""'

PASTED_WITHIN = 0.05
"""Seconds within which the lines of a text that is pasted follow one another."""


def open_chat(
    run_folder: Path, max_new_tokens: int, temperature: float, repair: int | None = None
) -> Callable[[list[Turn]], Iterator[str]]:
    """A function from a conversation to the model's next answer, piece by piece; with `repair` of what the repair of that level made.

    Raises ModelError for a run that is not finished or whose model does not talk, RecipeError for a repair that was not made.
    """
    recipe = load_recipe(existing_run(run_folder) / "recipe.yaml")
    if not talks(recipe):
        raise ModelError(f"{run_folder}: was trained to choose a label ({recipe.task.kind}) and cannot talk; see `fedloom export`")
    check_whole(recipe, run_folder)
    bench = tuned_bench(recipe, RunFolder(run_folder if repair is None else existing_repair(run_folder, repair)))
    encoder = bench.encoder
    assert isinstance(encoder, TextEncoder)

    def answer(turns: list[Turn]) -> Iterator[str]:
        text = render_prompt(turns, encoder.tokenizer, encoder.template)
        yield from stream(bench.model, encoder.tokenizer, text, max_new_tokens, temperature)

    return answer


def read_question(prompt: str) -> str:
    """The next question from standard input: a line, the lines that are pasted with it, or those between two lines of three quotes.

    Raises EOFError at the end.
    """
    lines = [input(prompt)]
    if lines[0].strip() == QUOTES:
        lines = list(_until_quotes())
    else:
        while sys.stdin.isatty() and select.select([sys.stdin], [], [], PASTED_WITHIN)[0]:
            lines.append(input())
    return "\n".join(lines).encode(errors="surrogateescape").decode(errors="replace")  # bytes that are no text


def _until_quotes() -> Iterator[str]:
    """Lines up to three quotes, or to the end."""
    with contextlib.suppress(EOFError):
        yield from iter(input, QUOTES)


def talks(recipe: Recipe) -> bool:
    """Whether the model of a run answers in words."""
    return kinds.get(bench_plan(recipe).kind).talks
