"""The commands that measure attacks on the safety of a model and repairs of it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer
from rich.markup import escape
from rich.table import Column, Table
from rich.text import Text

from fedloom.cli.parts import AsJson, Overrides, RecipeArgument, RunArgument, TrustPlugins, err, named_parts, out, recipe_of, stoppable
from fedloom.errors import FedloomError, RecipeError

safety_app = typer.Typer(
    help="Attack the safety of a joined model on purpose, and measure which rule and which repair protects it.", no_args_is_help=True
)


def repair(
    run_folder: RunArgument,
    level: Annotated[int, typer.Option(help="1: public rows; 2: rows of an outside model; 3: rows of the model itself.", min=1, max=3)],
    policy: Annotated[str | None, typer.Option(help="Policy that says what is restricted; default: the run's.")] = None,
    generator: Annotated[str | None, typer.Option(help="Outside model of level 2; default: the recipe's, else the base model.")] = None,
    settings: Annotated[list[str] | None, typer.Argument(metavar="[KEY=VALUE]...", help="Settings, such as rows=200 steps=100")] = None,
    as_json: AsJson = False,
    trusted: TrustPlugins = False,
) -> None:
    """Train the joined model of a finished run on aligned and on ordinary rows, and measure it again.

    The run stays as it is; the result goes into RUN/repairs/level-N. Example: `fedloom repair runs/attacked --level 3 rows=200 steps=60`
    """
    from fedloom.outcome import read
    from fedloom.overrides import parse_overrides
    from fedloom.report.record import read_run
    from fedloom.report.text import with_unit
    from fedloom.safety.repair import Repair
    from fedloom.studies.repaired import default_repair, repair_run

    chosen = default_repair(recipe_of(run_folder), level, policy, generator) | parse_overrides(settings or []) | {"level": level}
    before, record, wanted = read(run_folder).metrics, read_run(run_folder), chosen.get("rows", Repair.rows)
    with err.status(f"repairing, level {level}"), stoppable():
        repaired = repair_run(run_folder, chosen)
    if as_json:
        print(json.dumps({"run": str(run_folder), "folder": str(repaired.folder), "metrics": repaired.metrics, "cost": repaired.cost}))
        return
    table = Table("measure", Column("before", justify="right"), Column("repaired", justify="right"))
    for measure in (*record.probe_measures, *record.measures):
        name = f"federated/{measure.name}"
        if name in repaired.metrics:
            table.add_row(Text(with_unit(measure)), measure.shown(before.get(name)), measure.shown(repaired.metrics[name]))
    out.print(table)
    out.print(f"rows      {repaired.cost['kept']:.0f} of {wanted}\nrepaired  {repaired.folder}")


@safety_app.command("matrix")
def safety_matrix(
    recipe: RecipeArgument,
    out_folder: Annotated[Path, typer.Option("--out", help="Folder of the matrix; the same command again goes on in it.")],
    overrides: Overrides = None,
    attacks: Annotated[str, typer.Option(help="What malicious clients do: none,{kind: sign_flip, scale: 3}")] = "none,unaligned",
    rules: Annotated[str | None, typer.Option(help="Algorithms: fedavg,{name: trimmed_mean, trim: 1}; default: the recipe's.")] = None,
    repairs: Annotated[str, typer.Option(help="Levels of repair: 1,2,3; empty: none.")] = "",
    seeds: Annotated[str, typer.Option(help="Seeds: results are means over them.")] = "1,2,3",
    generator: Annotated[
        str | None, typer.Option(help="Outside model of repair level 2; default: the recipe's, else its base model.")
    ] = None,
    as_json: AsJson = False,
    trusted: TrustPlugins = False,
) -> None:
    """Run every attack with every rule and seed, and repair every run; then write a table and a heat map of the results.

    Several commands can fill one folder: for example all rules without a repair first, then every repair of one rule.

    Example: `fedloom safety matrix safety_tiny --rules fedavg,median --repairs 1,3 --seeds 1,2 --out runs/matrix`
    """
    from fedloom.overrides import parse_overrides
    from fedloom.report.live import BriefView
    from fedloom.studies.matrix import matrix_measures, plan_matrix, run_matrix
    from fedloom.studies.matrix_table import matrix_table, write_matrix

    chosen = None if rules is None else named_parts("--rules", rules, "name")
    behaviours = named_parts("--attacks", attacks, "kind")
    levels, runs = _numbers("--repairs", repairs), _numbers("--seeds", seeds)
    for option, values in (("--attacks", behaviours), ("--rules", chosen), ("--seeds", runs)):
        if values is not None and not values:
            raise RecipeError(f"{option}: is empty; name one or more with commas between")
    changed = parse_overrides(overrides or [])
    if "seed" in changed:
        raise RecipeError("seed: is an axis of the matrix; write --seeds")
    plan = plan_matrix(recipe, out_folder, behaviours, chosen or [], levels, runs, changed, generator)
    with stoppable(), BriefView(err) as view:
        cells, failed = run_matrix(plan, view, lambda text: err.print(escape(text), highlight=False, soft_wrap=True))
    if cells:
        measures = matrix_measures(out_folder)
        table, picture = write_matrix(cells, measures, out_folder)
        (err if as_json else out).print(matrix_table(cells, measures))
        (err if as_json else out).print(f"table    {table}\npicture  {picture}")
    if as_json:
        print(json.dumps({"matrix": str(out_folder), "failed": failed, "cells": [vars(cell) for cell in cells]}))
    if failed:
        raise FedloomError(f"{failed} of {plan.cells} cells failed; the reasons stand above, and the same command tries them again")


def _numbers(option: str, words: str) -> list[int]:
    from fedloom.studies.sweep import split_choices

    found = [word for word in split_choices(words) if word]
    if not all(word.isascii() and word.isdigit() for word in found):
        raise RecipeError(f"{option}: should be whole numbers with commas between, such as 1,2,3; got '{words}'")
    return [int(word) for word in found]
