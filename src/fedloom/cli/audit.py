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
    place: Annotated[Path, typer.Argument(metavar="RUN", help="A run folder, the folder of a site, or an audit.jsonl.")],
    as_json: AsJson = False,
) -> None:
    """Check the chain of hashes of the audit log: a line that was changed, removed or put in later is named, and the exit code is 1.

    The manifest of a run notes the hash of the last entry, so that entries which were cut off the end are missed, too.

    Example: `fedloom audit verify runs/mine`
    """
    from fedloom.federation.run_folder import RunFolder
    from fedloom.hash_chain import BrokenChainError, verify

    log = place / "audit.jsonl" if place.is_dir() else place
    if not log.is_file():
        raise RecipeError(f"{place}: has no audit.jsonl; name a run folder, the folder of a site, or the log itself")
    try:
        chain = verify(log, RunFolder(log.parent).manifest().get("audit_sha256"))
    except BrokenChainError as error:
        if as_json:
            print(json.dumps({"log": str(log), "entries": error.entries, "unbroken": False, "reason": str(error)}))
        raise
    if as_json:
        print(json.dumps({"log": str(log), "entries": chain.entries, "unbroken": True, "last": chain.last, "torn": chain.torn}))
        return
    out.print(f"{log}: {chain.entries} entries, the chain is unbroken; the last has the hash {chain.last[:12]}...")
    if chain.torn:
        out.print("  a last line that was written only half, as by a killed run, is not counted")
