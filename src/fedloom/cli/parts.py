"""What the commands share: consoles, arguments, and how a run is stopped politely."""

from __future__ import annotations

import math
import os
import signal
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console, ConsoleOptions, RenderableType
from rich.segment import Segment

from fedloom.errors import InterruptedRunError, RecipeError
from fedloom.files import disk_errors_named
from fedloom.report.text import printable

if TYPE_CHECKING:
    from matplotlib.figure import Figure


class TextConsole(Console):
    """A console on which names of files, columns and clients, whoever chose them, cannot steer the terminal."""

    def render(self, renderable: RenderableType, options: ConsoleOptions | None = None) -> Iterable[Segment]:
        for segment in super().render(renderable, options):
            yield segment if segment.control else Segment(printable(segment.text), segment.style)


# A pipe has no width: rich would take 80 columns and cut cells.
out = TextConsole(width=None if sys.stdout.isatty() or "COLUMNS" in os.environ else 120)
err = TextConsole(stderr=True)


def say(text: object) -> None:
    """Print a line that other programs may read: without markup, and as wide as it is."""
    print(printable(str(text)))


def preset_completions(incomplete: str) -> list[str]:
    from fedloom.resolve import preset_names

    return [name for name in preset_names() if name.startswith(incomplete)]


RecipeArgument = Annotated[
    str, typer.Argument(metavar="RECIPE", help="A YAML file, or the name of a preset.", autocompletion=preset_completions)
]
Overrides = Annotated[
    list[str] | None, typer.Argument(metavar="[KEY=VALUE]...", help="Recipe keys to set: rounds=20 algorithm.name=scaffold")
]
RunArgument = Annotated[Path, typer.Argument(metavar="RUN", help="A run folder.")]
RepairOption = Annotated[int | None, typer.Option("--repair", help="The model that the repair of this level made.", min=1, max=3)]


def _trust(context: typer.Context, wanted: bool) -> bool:
    if wanted:
        from fedloom.plugins import trusting_plugins

        context.with_resource(trusting_plugins())
    return wanted


TrustPlugins = Annotated[
    bool, typer.Option("--trust-plugins", callback=_trust, help="Run the Python files that the recipe names; remembered for each file.")
]


def finite(value: float) -> float:
    """The value of an option, if it is finite: bounds let nan pass."""
    if not math.isfinite(value):
        raise typer.BadParameter(f"{value} should be a finite number")
    return value


AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON object as the last line of standard output.")]


def draw(figure: Figure, picture: Path) -> None:
    if picture.suffix not in (".png", ".svg"):
        raise RecipeError(f"--picture {picture}: should end in .png or .svg")
    if not picture.absolute().parent.is_dir():
        raise RecipeError(f"--picture {picture}: there is no folder {picture.parent}; make it first")
    with disk_errors_named(picture):
        figure.savefig(picture, dpi=150)


def recipe_of(run_folder: Path) -> Any:
    from fedloom.resolve import load_recipe

    return load_recipe(run_folder / "recipe.yaml")


def named_parts(option: str, words: str, key: str) -> list[str | dict[str, Any]]:
    """Names, and mappings that hold a name under `key`, with commas between."""
    from fedloom.studies.sweep import split_choices
    from fedloom.yaml_text import YamlError, parse_yaml

    try:
        found = [parse_yaml(word) for word in split_choices(words) if word]
    except YamlError:
        found = [None]
    if not all(isinstance(one, str) or (isinstance(one, dict) and isinstance(one.get(key), str)) for one in found):
        raise RecipeError(f"{option}: should be names with commas between, or mappings such as {{{key}: NAME, ...}}; got '{words}'")
    return found


class stoppable:  # noqa: N801 - reads as a statement
    """Let a polite kill (SIGTERM) stop a run as Ctrl-C does: with its checkpoint. `without_trace` says that what is stopped keeps nothing,
    so that the user is told that it begins anew."""

    def __init__(self, without_trace: bool = False) -> None:
        self._without_trace = without_trace

    def __enter__(self) -> None:
        self._before = signal.signal(signal.SIGTERM, signal.default_int_handler)

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        signal.signal(signal.SIGTERM, self._before)
        if self._without_trace and kind is KeyboardInterrupt:
            raise InterruptedRunError("stopped, and nothing half-written is left; the same command begins anew") from None
