"""The commands of dressed people in layers."""

from __future__ import annotations

import typer

humans_app = typer.Typer(help="Dressed people in separate layers, from a few photographs.", no_args_is_help=True)

capture_app = typer.Typer(help="Captures: photographs of a person from several sides, with their cameras.", no_args_is_help=True)

humans_app.add_typer(capture_app, name="capture")


@capture_app.callback()
def _family() -> None:
    """Keep a single command a command of its own: typer would run it under the family's name."""
