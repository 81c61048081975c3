"""The command that trains a generator of pictures."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING, Annotated

import typer

from fedloom.cli.parts import AsJson, err, say, stoppable

if TYPE_CHECKING:
    from collections.abc import Callable

generate_app = typer.Typer(help="Generators of training data that are trained here.", no_args_is_help=True)

LINES = 10
"""Lines that a training writes where there is no terminal for a bar."""


@generate_app.callback()
def _family() -> None:
    """Keep `train` a command of its own: typer would run a single command under the family's name."""


@generate_app.command("train")
def generate_train(
    source: Annotated[str, typer.Argument(metavar="SOURCE", help="data.source of public pictures, such as digits or pictures:FOLDER.")],
    out_folder: Annotated[Path, typer.Option("--out", help="Folder of the generator; the same command again goes on in it.")],
    settings: Annotated[
        list[str] | None, typer.Argument(metavar="[KEY=VALUE]...", help="Settings: steps=3000 data.provenance=public data.limit=20000")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Train a small class-conditional diffusion model on public pictures: what the generator `diffusion` draws with.

    Ctrl-C is safe: the same command goes on. Example: `fedloom generate train digits --out generators/digits steps=1500`
    """
    from fedloom.overrides import parse_overrides
    from fedloom.synthesis.generator_training import train_generator, training_of

    data, training = training_of(source, parse_overrides(settings or []))
    begin = perf_counter()
    with stoppable(), _progress(training.steps) as tell:
        found = train_generator(data, training, out_folder, tell)
    height, width, channels = found.size
    if as_json:
        facts = {"folder": str(out_folder), "sha256": found.sha256, "labels": found.labels, "size": found.size}
        print(json.dumps(facts | {"rows": found.trained_on["rows"], "seconds": round(perf_counter() - begin, 1)}))
        return
    say(f"pictures   {found.trained_on['rows']:,} of {height} x {width} x {channels}, {len(found.labels)} classes")
    say(f"sha256     {found.sha256}")
    say(f"generator  {out_folder}")


@contextmanager
def _progress(steps: int) -> Iterator[Callable[[int, float], None]]:
    """What is told of every step: a bar with steps a second and the time left on a terminal, elsewhere a line now and then."""
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    from fedloom.report.text import duration

    columns = (TextColumn("training"), BarColumn(), MofNCompleteColumn(), TextColumn("{task.description}"), TimeRemainingColumn())
    begun: list[tuple[int, float]] = []
    with Progress(*columns, console=err, disable=not err.is_terminal) as progress:
        task = progress.add_task("", total=steps)

        def tell(step: int, loss: float) -> None:
            first, begin = begun[0] if begun else (step, perf_counter())
            begun[:] = [(first, begin)]
            pace = (step - first) / max(perf_counter() - begin, 1e-9)
            said = f"{pace:.1f} steps/s, loss {loss:.3f}"
            progress.update(task, completed=step, description=said)
            if not err.is_terminal and pace and (step == steps or step % max(1, steps // LINES) == 0):
                err.print(f"step {step} of {steps}: {said}, {duration((steps - step) / pace)} left", highlight=False)

        yield tell
