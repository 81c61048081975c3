"""The command that shows in what the rows of a federation's clients differ."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING, Annotated

import typer
from rich.markup import escape

from fedloom.cli.bench import bench_app
from fedloom.cli.parts import AsJson, Overrides, TrustPlugins, err, named_parts, out, say, stoppable

if TYPE_CHECKING:
    from collections.abc import Callable


SECONDS = 30
"""At most every so many seconds a line is written where there is no terminal for a bar, beside one when an analysis is done."""


@bench_app.callback()
def _family() -> None:
    """Keep commands of one word below the family's name, however many there are."""


@bench_app.command("analyse")
def bench_analyse(
    target: Annotated[str, typer.Argument(metavar="SOURCE_OR_RECIPE", help="A data.source, a YAML file, or the name of a preset.")],
    out_folder: Annotated[Path, typer.Option("--out", help="Folder of tables, pictures and page; the same command again goes on.")],
    overrides: Overrides = None,
    only: Annotated[
        str, typer.Option(help="Analyses, such as language,length or {kind: embedding, embedder: words}; default: all that fit.")
    ] = "",
    own: Annotated[
        bool, typer.Option("--own", help="The rows are yours, and so is the screen: show words and points of PRIVATE rows, too.")
    ] = False,
    as_json: AsJson = False,
    trusted: TrustPlugins = False,
) -> None:
    """Show in what the rows of the clients differ: language, quality, quantity, instruction, length, embedding, preference.

    Example: `fedloom bench analyse questions.jsonl data.partition={kind: by_field, field: source} --only language,length --out diversity`
    """
    from fedloom.analysing import analyse
    from fedloom.overrides import parse_overrides
    from fedloom.report.diversity import PAGE, facts, tables

    chosen = named_parts("--only", only, "kind")
    with stoppable(), _progress() as tell:
        analysed = analyse(target, parse_overrides(overrides or []), chosen, out_folder, own, tell)
    for problem in analysed.left_out.values():
        err.print(f"left out: {escape(problem)}", soft_wrap=True, highlight=False)
    for table in tables(analysed):
        (err if as_json else out).print(table)
    if as_json:
        print(json.dumps({"folder": str(out_folder), **facts(analysed)}))
        return
    say(f"page  {out_folder / PAGE}")


@contextmanager
def _progress() -> Iterator[Callable[[str, int, int], None]]:
    """What is told of every piece: a bar for each analysis on a terminal, elsewhere a line now and then."""
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

    from fedloom.report.text import duration

    columns = (TextColumn("{task.description:<12}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(), TimeRemainingColumn())
    begun = perf_counter()
    said = [begun]
    with Progress(*columns, console=err, disable=not err.is_terminal) as progress:
        bars = {}

        def tell(name: str, done: int, rows: int) -> None:
            if name not in bars:
                bars[name] = progress.add_task(escape(name), total=rows)
            progress.update(bars[name], completed=done)
            now = perf_counter()
            if not err.is_terminal and (done == rows or now - said[-1] > SECONDS):
                said[:] = [now]
                err.print(f"{escape(name)}: {done:,} of {rows:,} rows, {duration(now - begun)} since the start", highlight=False)

        yield tell
