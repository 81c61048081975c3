"""What the commands that run a sweep share: its progress, and the tables that it ends with."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from rich.markup import escape

from fedloom.cli.parts import err, out, stoppable
from fedloom.errors import FedloomError

if TYPE_CHECKING:
    from fedloom.studies.sweep import Cell, Grid


def run_and_tell(grid: Grid, as_json: bool) -> None:
    """Run the cells of `grid` that are not finished, print the tables and write them into its folder.

    Raises FedloomError where a cell fails.
    """
    from fedloom.report.live import BriefView
    from fedloom.studies.sweep import data_notes, further_measures, held_out_measures, run_sweep, summarise, written
    from fedloom.studies.sweep_table import further_tables, sweep_table, write_sweep

    def tell(number: int, cell: Cell, what: str) -> None:
        values = " ".join(f"{key}={written(value)}" for key, value in cell.values.items())
        err.print(f"[bold]{number}/{len(grid.cells)}[/] {escape(values)}: {escape(what)}", highlight=False)

    with stoppable(), BriefView(err) as view:
        done = run_sweep(grid, view, tell)
    if not done:
        raise FedloomError(f"all {len(grid.cells)} cells failed, and no table is written; mend them and give the same command again")
    results, measures, groups = summarise(done), held_out_measures(done), further_measures(done)
    table, values, picture = write_sweep(results, measures, groups, grid.folder, data_notes(done))
    if as_json:
        found = [result.plain() for result in results]
        print(json.dumps({"sweep": str(grid.folder), "cells": len(grid.cells), "finished": len(done), "results": found}))
    else:
        for shown in (sweep_table(results, measures), *further_tables(results, groups)):
            out.print(shown)
        out.print(f"tables   {table}\nlatex    {table.with_suffix('.tex')}\nvalues   {values}\npicture  {picture}")
    if len(done) < len(grid.cells):
        raise FedloomError(f"{len(grid.cells) - len(done)} of {len(grid.cells)} cells failed; mend them and give the same command again")
