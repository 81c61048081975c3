"""Runs of a study, each in a folder of its own: one that was stopped goes on, one that is finished is not done again."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import fedloom
from fedloom.errors import FedloomError
from fedloom.federation.run_folder import RunFolder
from fedloom.report.live import LiveView


def tell(out: Path, lines: Iterable[str]) -> None:
    """Write the tables of a study into its folder, and print them."""
    table = "\n".join(lines)
    (out / "tables.md").write_text(table + "\n", encoding="utf-8")
    print(table)


def run_once(folder: Path, recipe: Mapping[str, Any]) -> fedloom.Run:
    """The run of `recipe` in `folder`, finished. Raises FedloomError for one in which a client failed: it cannot be compared."""
    print(folder.name, file=sys.stderr)
    with LiveView() as view:
        if (folder / "manifest.json").exists():
            run = fedloom.resume(folder, observer=view)
        else:
            run = fedloom.run(recipe, out=folder, observer=view)
    if any(event["name"] == "client/failed" for event in RunFolder(folder).metrics()):
        raise FedloomError(f"{folder}: a client failed in a round of this run, which cannot be compared; remove the folder")
    return run
