"""The commands that use what runs have left: chat, export, report, compare, clean."""

from __future__ import annotations

import json
import math
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from fedloom.cli.parts import AsJson, RepairOption, RunArgument, TrustPlugins, draw, err, out, say
from fedloom.errors import RecipeError

if TYPE_CHECKING:
    from fedloom.housekeeping import Kept


def chat(
    run_folder: RunArgument,
    max_new_tokens: Annotated[int, typer.Option(help="Length of an answer in tokens.", min=1)] = 256,
    temperature: Annotated[float, typer.Option(help="0: always the likeliest word; above: drawn.", min=0)] = 0.0,
    system: Annotated[str | None, typer.Option(help="A system prompt.")] = None,
    repair: RepairOption = None,
    trusted: TrustPlugins = False,
) -> None:
    """Talk to the tuned model of a run. An empty line or Ctrl-D ends it; /new starts over.

    A question of several lines can be pasted, or stands between two lines of three quotes.
    """
    from fedloom.chat import open_chat, read_question
    from fedloom.data.records import Turn
    from fedloom.report.text import printable

    if not math.isfinite(temperature):
        raise RecipeError(f"--temperature: should be a finite number, got {temperature}")
    with err.status("loading the model"):
        answer = open_chat(run_folder, max_new_tokens, temperature, repair)
    opening = [Turn("system", system)] if system else []
    turns = list(opening)
    while True:
        try:
            question = read_question("you: " if sys.stdin.isatty() else "")
        except (EOFError, KeyboardInterrupt):
            return
        if not question.strip():
            return
        if question.strip() == "/new":
            turns = list(opening)
            continue
        turns.append(Turn("user", question))
        said = ""
        try:
            for piece in answer(turns):
                said += piece
                print(printable(piece), end="", flush=True)
        except KeyboardInterrupt:
            err.print("[dim](cut short)[/]", end="")
        print()
        turns.append(Turn("assistant", said))


def export(
    run_folder: RunArgument,
    target: Annotated[Path, typer.Argument(help="The new folder.")],
    merge: Annotated[bool, typer.Option("--merge", help="A whole model with the adapter merged in, instead of the adapter alone.")] = False,
    repair: RepairOption = None,
    trusted: TrustPlugins = False,
) -> None:
    """Hand the result out: the adapter in PEFT's format, or with --merge a whole model that needs no PEFT.

    With the tokenizer, its chat template and a model card. A run without an adapter (model.adapter: null) has trained a whole model, which
    is handed out as it is.
    """
    from fedloom.exporting import export as hand_over

    hand_over(run_folder, target, merge, repair)
    say(f"{target}: written")


def report(run_folder: RunArgument) -> None:
    """Write the report of a run anew, and print where it is: one HTML file, readable without network."""
    from fedloom.report.html import write_report

    say(write_report(run_folder))


def compare(
    runs: Annotated[list[Path], typer.Argument(metavar="RUN...", help="Two or more run folders.")],
    picture: Annotated[Path | None, typer.Option("--picture", help="Draw the comparison into this .png or .svg file.")] = None,
    as_json: AsJson = False,
) -> None:
    """Put runs side by side: results, costs, and the recipe keys in which they differ."""
    from fedloom.report.compare import compare as compared

    comparison = compared(runs)
    if picture:
        draw(comparison.figure(), picture)
    if as_json:
        print(json.dumps(comparison.rows()))
    else:
        for shown in (comparison.table(), *comparison.further_tables()):
            out.print(shown)
        if comparison.runs[0].differs:
            out.print(comparison.differences())


def clean(
    models: Annotated[bool, typer.Option("--models", help="Remove fetched models and packages too.")] = False,
    missing: Annotated[
        bool, typer.Option("--missing", help="Remove what clients keep of runs whose folder was moved or removed, too.")
    ] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
) -> None:
    """Free disk space: remove from the cache what was made of clients' rows, and what clients kept of runs that are over.

    With --models fetched models and packages go too. Run folders, and what clients keep of unfinished runs, are left alone.
    """
    from fedloom.housekeeping import GOING, LEFT, MISSING, OVER, PRIVATE, kept, remove
    from fedloom.report.text import byte_text

    def line(found: Kept) -> str:
        place = found.paths[0] if len(found.paths) == 1 else found.paths[0].parent
        return f"{place}: {byte_text(found.bytes)}, {found.what}"

    all_kept = [found for found in kept() if found.kind != GOING]
    doomed = [found for found in all_kept if found.kind in (*PRIVATE, OVER, LEFT) or (missing if found.kind == MISSING else models)]
    for found in all_kept:
        if found.kind == MISSING and not missing:
            say(f"left alone (--missing removes it): {line(found)}")
    if not doomed:
        out.print("there is nothing to remove")
        return
    for found in doomed:
        say(line(found))
    if yes or typer.confirm("Remove?"):
        for found in doomed:
            remove(found)
