"""The command line. Every command is a few lines that call the library; results go to standard output, progress to standard error."""

from __future__ import annotations

import contextlib
import json
import shutil
import sys
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.markup import escape
from rich.table import Column, Table

from fedloom.cli_parts import AsJson, Overrides, RecipeArgument, RepairOption, RunArgument, draw, err, out, recipe_of, stoppable
from fedloom.cli_safety import repair, safety_app
from fedloom.errors import FedloomError, RecipeError
from fedloom.files import disk_errors_named

if TYPE_CHECKING:
    from fedloom.run import Run

app = typer.Typer(
    name="fedloom",
    help="Train one model together on data that its owners may not share.\n\nA first look, without a download: `fedloom run tiny`",
    no_args_is_help=True,
    rich_markup_mode="markdown",
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
recipes_app = typer.Typer(help="The presets that come with Fedloom: list, read, copy.", no_args_is_help=True)
models_app = typer.Typer(help="Models that are known by name: list them, fetch one.", no_args_is_help=True)
data_app = typer.Typer(help="Look at a recipe's data before anything is trained.", no_args_is_help=True)
app.add_typer(recipes_app, name="recipes")
app.add_typer(models_app, name="models")
app.add_typer(data_app, name="data")
app.add_typer(safety_app, name="safety")
app.command()(repair)


def _print_version(wanted: bool) -> None:
    if wanted:
        print(f"fedloom {version('fedloom')}")
        raise typer.Exit


@app.callback()
def _main(
    _: Annotated[bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version and end.")] = False,
) -> None:
    pass


@app.command()
def run(
    recipe: RecipeArgument,
    overrides: Overrides = None,
    out_folder: Annotated[Path | None, typer.Option("--out", help="Run folder; default: runs/NAME-TIME.")] = None,
    as_json: AsJson = False,
) -> None:
    """Run a recipe: train across its clients, measure, and write the report.

    Ctrl-C is safe: go on with `fedloom resume RUN`. Example: `fedloom run tiny rounds=6 algorithm.name=fedprox`
    """
    from fedloom.recipe import load_recipe, parse_overrides

    resolved = load_recipe(recipe, parse_overrides(overrides or []))  # before torch is imported: a typing error is answered at once
    from fedloom.report.live import LiveView
    from fedloom.run import new_folder
    from fedloom.run import run as start

    folder = out_folder or new_folder(resolved)
    with _unfinished_told(folder, as_json), stoppable(), LiveView(err) as view:
        finished = start(resolved, folder, view)
    _show_run(finished, as_json)


@app.command()
def demo(
    quick: Annotated[bool, typer.Option("--quick", help="Fewer rounds and rows: a third of the time.")] = False,
    out_folder: Annotated[Path | None, typer.Option("--out", help="Run folder; default: runs/NAME-TIME.")] = None,
    as_json: AsJson = False,
) -> None:
    """Train a real small model across four owners, and compare: the preset sft_smollm2, minutes on two cores.

    Fetches a model (93 MB) and demo data (46 MB) once.
    """
    run("sft_smollm2", ["rounds=2", "steps=3", "max_rows=10"] if quick else None, out_folder, as_json)


@app.command()
def resume(run_folder: RunArgument, as_json: AsJson = False) -> None:
    """Go on with a run that was stopped or killed; it ends in the same bytes as if it had not been."""
    from fedloom.report.live import LiveView
    from fedloom.run import resume as go_on

    with _unfinished_told(run_folder, as_json), stoppable(), LiveView(err) as view:
        finished = go_on(run_folder, view)
    _show_run(finished, as_json)


@app.command()
def sweep(
    recipe: RecipeArgument,
    words: Annotated[list[str], typer.Argument(metavar="KEY=A,B,C...", help="Values to try: algorithm.name=fedavg,scaffold seed=1,2,3")],
    out_folder: Annotated[Path, typer.Option("--out", help="Folder of the sweep; the same command again goes on in it.")],
    as_json: AsJson = False,
) -> None:
    """Run a recipe over a grid of values: a run per cell, each once, then a table of means and spreads over seeds, and a picture.

    Example: `fedloom sweep tiny algorithm.name=fedavg,fedprox,scaffold seed=1,2,3 --out runs/algorithms`
    """
    from fedloom.report.live import BriefView
    from fedloom.report.sweep import sweep_table, write_sweep
    from fedloom.sweep import Cell, plan_sweep, run_sweep, summarise, written

    grid = plan_sweep(recipe, words, out_folder)

    def tell(number: int, cell: Cell, what: str) -> None:
        values = " ".join(f"{key}={written(value)}" for key, value in cell.values.items())
        err.print(f"[bold]{number}/{len(grid.cells)}[/] {escape(values)}: {escape(what)}", highlight=False)

    with stoppable(), BriefView(err) as view:
        done = run_sweep(grid, view, tell)
    results = summarise(done)
    table, picture = write_sweep(results, out_folder)
    if as_json:
        print(
            json.dumps({"sweep": str(out_folder), "cells": len(grid.cells), "finished": len(done), "results": [vars(r) for r in results]})
        )
    else:
        out.print(sweep_table(results))
        out.print(f"table    {table}\npicture  {picture}")
    if len(done) < len(grid.cells):
        raise FedloomError(f"{len(grid.cells) - len(done)} of {len(grid.cells)} cells failed; mend them and give the same command again")


@app.command()
def validate(recipe: RecipeArgument, overrides: Overrides = None) -> None:
    """Check a recipe without running it: every key, name and value."""
    from fedloom.recipe import load_recipe, parse_overrides

    checked = load_recipe(recipe, parse_overrides(overrides or []))
    out.print(f"{escape(recipe)}: valid ({checked.task.kind}, {checked.algorithm.name}, {checked.federation.rounds} rounds)")


@recipes_app.command("ls")
def recipes_ls() -> None:
    """List the presets."""
    from fedloom.recipe import PRESETS, preset_names

    table = Table("preset", "what it is")
    for name in preset_names():
        first = (PRESETS / f"{name}.yaml").read_text(encoding="utf-8").splitlines()[0]
        table.add_row(name, escape(first.removeprefix("# ")))
    out.print(table)


@recipes_app.command("show")
def recipes_show(
    recipe: RecipeArgument, full: Annotated[bool, typer.Option("--full", help="With every default written out.")] = False
) -> None:
    """Print a preset as YAML."""
    from fedloom.recipe import find_recipe, load_recipe

    sys.stdout.write(load_recipe(recipe).to_yaml() if full else find_recipe(recipe).read_text(encoding="utf-8"))


@recipes_app.command("copy")
def recipes_copy(recipe: RecipeArgument, target: Annotated[Path, typer.Argument(help="The new file.")]) -> None:
    """Copy a preset to a file of your own, to change it."""
    from fedloom.recipe import find_recipe

    if target.exists():
        raise RecipeError(f"{target}: exists already; choose another name")
    with disk_errors_named(target):
        shutil.copyfile(find_recipe(recipe), target)
    print(f"{target}: written; run it with `fedloom run {target}`")


@models_app.command("ls")
def models_ls() -> None:
    """List the models known by name. Any hub id or local folder works too."""
    from fedloom.models.catalogue import catalogue
    from fedloom.report.html import byte_text

    table = Table(Column("id", no_wrap=True), "what it is", "parameters", "licence", "download", "here")
    for entry in catalogue():
        size = byte_text(entry.size_bytes) if entry.size_bytes else "none"
        table.add_row(entry.id, entry.description, f"{entry.parameters:,}", entry.licence, size, "yes" if entry.cached else "no")
    out.print(table)


@models_app.command("get")
def models_get(model: Annotated[str, typer.Argument(metavar="ID", help="A name of `fedloom models ls`.")]) -> None:
    """Fetch a named model into the cache, and print its folder."""
    from fedloom.models.catalogue import fetch

    print(fetch(model))


@data_app.command("inspect")
def data_inspect(
    recipe: RecipeArgument,
    overrides: Overrides = None,
    picture: Annotated[Path | None, typer.Option("--picture", help="Draw who holds what into this .png or .svg file.")] = None,
    as_json: AsJson = False,
) -> None:
    """Who holds what: rows per client, answers, how uneven the split is. Never any text of a row."""
    from fedloom.data.clients import build_clients
    from fedloom.data.summary import shown_field, summary, summary_table
    from fedloom.recipe import load_recipe, parse_overrides
    from fedloom.report.plots import data_split

    resolved = load_recipe(recipe, parse_overrides(overrides or []))
    data = build_clients(resolved)
    field = shown_field(resolved.data, data.clients)
    if picture and (figure := data_split(summary(data.clients, field))):
        draw(figure, picture)
    if as_json:
        print(
            json.dumps({"origin": data.origin, "sha256": data.sha256, "left_out": data.left_out, "clients": summary(data.clients, field)})
        )
        return
    out.print(f"{escape(data.origin)}, {len(data.clients)} clients")
    if data.left_out:
        out.print(f"{data.left_out} rows are held by nobody: the partition keeps the largest clients only")
    out.print(summary_table(data.clients, field))
    if picture:
        print(f"drawn into {picture}")


@app.command()
def chat(
    run_folder: RunArgument,
    max_new_tokens: Annotated[int, typer.Option(help="Length of an answer in tokens.", min=1)] = 256,
    temperature: Annotated[float, typer.Option(help="0: always the likeliest word; above: drawn.", min=0)] = 0.0,
    system: Annotated[str | None, typer.Option(help="A system prompt.")] = None,
    repair: RepairOption = None,
) -> None:
    """Talk to the tuned model of a run. An empty line or Ctrl-D ends it; /new starts over."""
    from fedloom.chat import open_chat
    from fedloom.data.records import Turn

    with err.status("loading the model"):
        answer = open_chat(run_folder, max_new_tokens, temperature, repair)
    opening = [Turn("system", system)] if system else []
    turns = list(opening)
    while True:
        try:
            question = input("you: " if sys.stdin.isatty() else "").strip()
        except (EOFError, KeyboardInterrupt):
            return
        if not question:
            return
        if question == "/new":
            turns = list(opening)
            continue
        turns.append(Turn("user", question))
        said = ""
        try:
            for piece in answer(turns):
                said += piece
                print(piece, end="", flush=True)
        except KeyboardInterrupt:
            err.print("[dim](cut short)[/]", end="")
        print()
        turns.append(Turn("assistant", said))


@app.command()
def export(
    run_folder: RunArgument,
    target: Annotated[Path, typer.Argument(help="The new folder.")],
    merge: Annotated[bool, typer.Option("--merge", help="A whole model with the adapter merged in, instead of the adapter alone.")] = False,
    repair: RepairOption = None,
) -> None:
    """Hand the result out: the adapter in PEFT's format, or with --merge a whole model that needs no PEFT.

    A run without an adapter (model.adapter: null) has trained a whole model, which is handed out as it is.
    """
    from fedloom.models.adapters import merge as merge_adapter
    from fedloom.run import read
    from fedloom.runfolder import RunFolder
    from fedloom.safety.repaired import existing_repair
    from fedloom.workshop import task_of

    finished = read(run_folder)
    if finished.adapter_sha256 is None:
        raise RecipeError(f"{run_folder}: has no adapter yet; finish the run with `fedloom resume {run_folder}`")
    if target.exists():
        raise RecipeError(f"{target}: exists already; choose another folder")
    recipe = recipe_of(run_folder)
    trained = finished.adapter_path if repair is None else RunFolder(existing_repair(run_folder, repair)).trained
    if merge and recipe.model.adapter is not None:
        merge_adapter(recipe.model.id, trained, target, task_of(recipe).head)
    else:
        with disk_errors_named(target):
            shutil.copytree(trained, target)
    print(f"{target}: written")


@app.command()
def report(run_folder: RunArgument) -> None:
    """Write the report of a run anew, and print where it is: one HTML file, readable without network."""
    from fedloom.report.html import write_report

    print(write_report(run_folder))


@app.command()
def compare(
    runs: Annotated[list[Path], typer.Argument(metavar="RUN...", help="Two or more run folders.")],
    picture: Annotated[Path | None, typer.Option("--picture", help="Draw the comparison into this .png or .svg file.")] = None,
    as_json: AsJson = False,
) -> None:
    """Put runs side by side: results, costs, and the recipe keys in which they differ."""
    from fedloom.report.compare import compare as compared

    comparison = compared(runs)
    if picture:
        draw(comparison.figure(), picture)
    if as_json:
        print(json.dumps(comparison.rows()))
    else:
        out.print(comparison.table())
        if comparison.runs[0].differs:
            out.print(comparison.differences())


@app.command()
def clean(
    models: Annotated[bool, typer.Option("--models", help="Remove fetched models and packages too.")] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
) -> None:
    """Free disk space: remove encoded rows from the cache, with --models everything in it. Run folders are left alone."""
    from fedloom.housekeeping import kept, remove
    from fedloom.report.html import byte_text

    doomed = [folder for folder in kept() if models or folder.kind == "rows"]
    if not doomed:
        out.print("there is nothing to remove")
        return
    for folder in doomed:
        print(f"{folder.path}: {byte_text(folder.bytes)}, {folder.what}")
    if yes or typer.confirm("Remove?"):
        for folder in doomed:
            remove(folder)


def main() -> None:
    """Run the command; a user's mistake is one line and an exit code, never a traceback."""
    try:
        app()
    except FedloomError as error:
        err.print(f"[bold red]error:[/] {escape(str(error))}", soft_wrap=True, highlight=False)
        sys.exit(error.exit_code)
    except BrokenPipeError:
        sys.exit(1)


@contextlib.contextmanager
def _unfinished_told(run_folder: Path, as_json: bool) -> Iterator[None]:
    """With --json, a run that stops or fails prints its object as a finished one does; a wrong recipe is no run."""
    try:
        yield
    except FedloomError as error:
        if as_json and error.exit_code != RecipeError.exit_code:
            from fedloom.run import read

            print(_json_of(read(run_folder)))
        raise


def _show_run(finished: Run, as_json: bool) -> None:
    from fedloom.report.runfolder import read_run
    from fedloom.report.tables import probes_table, results_table

    record = read_run(finished.folder)
    (err if as_json else out).print(results_table(record))
    if (asked := probes_table(record)) is not None:
        (err if as_json else out).print(asked)
    if as_json:
        print(_json_of(finished))
        return
    trained = finished.adapter_path
    print(f"{trained.name:8} {trained}\nreport   {finished.folder / 'report.html'}\nchat     fedloom chat {finished.folder}")


def _json_of(run: Run) -> str:
    facts = {
        "run": str(run.folder),
        "status": run.status,
        "rounds": run.rounds,
        "adapter_sha256": run.adapter_sha256,
        "metrics": dict(run.metrics),
        "traffic_bytes": run.traffic_bytes,
        "seconds": round(run.seconds, 3),
    }
    return json.dumps(facts)
