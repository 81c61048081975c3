"""The commands that check what a run, or a site, has written down, and what its model has kept of the rows."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer
from rich.table import Column, Table
from rich.text import Text

from fedloom.cli.parts import AsJson, RunArgument, TrustPlugins, err, out, stoppable
from fedloom.errors import RecipeError

audit_app = typer.Typer(help="Check what a run has written down, and what its model reveals.", no_args_is_help=True)


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


@audit_app.command("privacy")
def audit_privacy(
    run_folder: RunArgument,
    samples: Annotated[int, typer.Option(help="Texts that are sampled from the model and searched for private text.", min=0)] = 32,
    seed: Annotated[int, typer.Option(help="Draws the samples, and rows where there are many.", min=0)] = 0,
    as_json: AsJson = False,
    trusted: TrustPlugins = False,
) -> None:
    """Measure what the model of a finished run has kept of the rows it was trained on, where these rows lie.

    A lower bound on epsilon and the exposure of canaries (of a recipe with the prepare step `canaries`), membership inference,
    reconstruction of names, and a scan of the run folder and of sampled texts for private text. What was found goes into
    RUN/audit_privacy.json and into the report; it holds numbers alone.

    Example: `fedloom audit privacy runs/mine`
    """
    from fedloom import auditing
    from fedloom.report import audits

    with err.status("auditing"), stoppable():
        found = auditing.audit_privacy(run_folder, samples, seed)
    for alert in audits.alerts(found):
        err.print(Text(alert, style="bold red"), soft_wrap=True)
    if as_json:
        print(json.dumps(found))
        return
    table = Table("measure", Column("value", justify="right"), "what it says", show_lines=True)
    for line in audits.lines(found):
        table.add_row(Text(line.title), Text(line.value, no_wrap=True), Text(line.meaning))
    out.print(table)
    for text in audits.limits(found):
        out.print(Text(f"- {text}"), soft_wrap=True)
