"""The commands that check what a run, or a site, has written down."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from fedloom.cli.parts import AsJson, out
from fedloom.errors import RecipeError

audit_app = typer.Typer(help="Check what a run has written down.", no_args_is_help=True)


@audit_app.callback()
def _family() -> None:
    """Keep `verify` a command of its own: typer would run a single command under the family's name."""


@audit_app.command("verify")
def audit_verify(
    folder: Annotated[Path, typer.Argument(metavar="RUN", help="A run folder, or the folder of a site.")], as_json: AsJson = False
) -> None:
    """Check the chain of hashes of the audit log: a line that was changed, removed or put in later is named, and the exit code is 1.

    Example: `fedloom audit verify runs/mine`
    """
    from fedloom.federation.audit import verify

    log = folder / "audit.jsonl"
    if not log.is_file():
        raise RecipeError(f"{folder}: has no audit.jsonl; name a run folder, or the folder of a site")
    entries = verify(log)
    if as_json:
        print(json.dumps({"log": str(log), "entries": entries, "unbroken": True}))
    else:
        out.print(f"{log}: {entries} entries, the chain is unbroken")
