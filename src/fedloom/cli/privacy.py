"""The commands that tell what a run has spent of its clients' privacy."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer
from rich.table import Column, Table
from rich.text import Text

from fedloom.cli.parts import AsJson, out

privacy_app = typer.Typer(help="What was spent of the privacy of rows.", no_args_is_help=True)


@privacy_app.callback()
def _family() -> None:
    """Keep `ledger` a command of its own: typer would run a single command under the family's name."""


@privacy_app.command("ledger")
def privacy_ledger(
    folder: Annotated[Path, typer.Argument(metavar="FOLDER", help="A run folder, or the folder of a site.")], as_json: AsJson = False
) -> None:
    """Show what every client has spent: epsilon of this run, of all runs on the same rows, and what is left.

    Ledgers lie in FEDLOOM_HOME of the machine that holds the rows. With --json, `spent`, `budget`, `steps` and `rounds` are those of the
    client that has spent the most; `rounds` are up to 25 pairs of a round and what all runs had spent by then.

    Example: `fedloom privacy ledger runs/mine`
    """
    from fedloom.spending import spending_of

    found = spending_of(folder)
    if as_json:
        most = max(found, key=lambda one: one.spent)
        shown = {"spent": most.spent, "budget": most.budget, "steps": most.steps, "delta": most.delta, "rounds": most.over_rounds()}
        print(json.dumps(shown | {"clients": {one.client: one.plain() for one in found}}))
        return
    right = {"justify": "right"}
    headings = ("this run", "all runs", "may spend", "left", "sums", "noise")
    table = Table("client", *(Column(heading, **right) for heading in headings))  # type: ignore[arg-type]
    for one in found:
        bound = ("no bound", "") if one.budget is None or one.left is None else (f"{one.budget:g}", f"{one.left:.3f}")
        table.add_row(Text(one.client), f"{one.own:.3f}", f"{one.spent:.3f}", *bound, f"{one.steps:,}", f"{one.noise_multiplier:.3f}")
    out.print(table)
    out.print(
        f"Epsilon at delta {found[0].delta:g}, by privacy loss distributions. Sums: noised sums of gradients, or of updates, of all runs."
        " Noise: standard deviation over the clipping norm.",
        style="dim",
    )
