"""The command that makes captures of synthetic people."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING, Annotated

import typer

from fedloom.cli.humans import capture_app
from fedloom.cli.parts import AsJson, err, say, stoppable

if TYPE_CHECKING:
    from collections.abc import Callable


@capture_app.command("synth")
def capture_synth(
    out_folder: Annotated[Path, typer.Option("--out", help="Folder of the captures; the same command again goes on in it.")],
    people: Annotated[int, typer.Option(min=1, max=10_000, help="People, one folder each.")] = 8,
    views: Annotated[int, typer.Option(min=1, max=99, help="Pictures of each.")] = 16,
    size: Annotated[int, typer.Option(min=16, max=4096, help="Pixels of a side of a picture.")] = 256,
    seed: Annotated[int, typer.Option(min=0, help="Draws people, clothes, poses, cameras and light.")] = 7,
    studio: Annotated[int | None, typer.Option(min=0, help="Number, from 0, of the studio that all belong to; default: by turns.")] = None,
    studios: Annotated[int, typer.Option(min=1, help="Studios, which differ in their people's heights and clothes.")] = 1,
    as_json: AsJson = False,
) -> None:
    """Make captures of synthetic people with exact truth: body, clothes, labels, cameras.

    Clothes are fetched once (89 MB). Ctrl-C is safe: the same command goes on. The folder is read as captures:FOLDER.
    Example: `fedloom humans capture synth --people 8 --views 16 --size 256 --studios 4 --out people`
    """
    from fedloom.humans.synthetic import SyntheticCaptures, make_captures

    begin = perf_counter()
    with stoppable(), _progress(people) as made:
        new = make_captures(SyntheticCaptures(people, views, size, seed, studio, studios), out_folder, made)
    seconds = perf_counter() - begin
    if as_json:
        say(
            json.dumps(
                {"folder": str(out_folder), "people": people, "new": new, "views": views, "size": size, "seconds": round(seconds, 1)}
            )
        )
        return
    say(f"captures  {people} people of {views} views, {size} x {size} pixels; {new} made now, in {seconds:.0f} s")
    say(f"folder    {out_folder}\nlicences  {out_folder / 'LICENCES.txt'}")


@contextmanager
def _progress(people: int) -> Iterator[Callable[[int], None]]:
    """What is told how many captures there are: a bar on a terminal, elsewhere a line after each."""
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (TextColumn("captures"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=err, disable=not err.is_terminal) as progress:
        task = progress.add_task("", total=people)

        def made(count: int) -> None:
            progress.update(task, completed=count)
            if not err.is_terminal:
                err.print(f"capture {count} of {people}", highlight=False)

        yield made
