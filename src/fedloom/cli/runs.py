"""The commands that run recipes: run, demo, resume, sweep, validate."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.markup import escape

from fedloom.cli.parts import AsJson, Overrides, RecipeArgument, RunArgument, TrustPlugins, err, out, say, stoppable
from fedloom.errors import FedloomError, RecipeError

if TYPE_CHECKING:
    from fedloom.outcome import Run


def run(
    recipe: RecipeArgument,
    overrides: Overrides = None,
    out_folder: Annotated[Path | None, typer.Option("--out", help="Run folder; default: runs/NAME-TIME.")] = None,
    as_json: AsJson = False,
    trusted: TrustPlugins = False,
) -> None:
    """Run a recipe: train across its clients, measure, and write the report.

    Ctrl-C is safe: go on with `fedloom resume RUN`. Example: `fedloom run tiny rounds=6 algorithm.name=fedprox`
    """
    from fedloom.overrides import parse_overrides
    from fedloom.resolve import load_recipe

    resolved = load_recipe(recipe, parse_overrides(overrides or []))  # before torch is imported: a typing error is answered at once
    from fedloom.outcome import new_folder
    from fedloom.report.live import LiveView
    from fedloom.run import run as start

    folder = out_folder or new_folder(resolved)
    with _unfinished_told(folder, as_json), stoppable(), LiveView(err) as view:
        finished = start(resolved, folder, view)
    _show_run(finished, as_json)


def demo(
    quick: Annotated[bool, typer.Option("--quick", help="Fewer rounds and rows: a third of the time.")] = False,
    out_folder: Annotated[Path | None, typer.Option("--out", help="Run folder; default: runs/NAME-TIME.")] = None,
    as_json: AsJson = False,
) -> None:
    """Train a real small model across four owners, and compare: the preset sft_smollm2, minutes on two cores.

    Fetches a model (93 MB) and demo data (46 MB) once.
    """
    run("sft_smollm2", ["rounds=3", "steps=5", "every=3", "max_rows=20"] if quick else None, out_folder, as_json)


def resume(
    run_folder: RunArgument,
    as_json: AsJson = False,
    trusted: TrustPlugins = False,
) -> None:
    """Go on with a run that was stopped or killed; it ends in the same bytes as if it had not been."""
    from fedloom.report.live import LiveView
    from fedloom.run import resume as go_on

    with _unfinished_told(run_folder, as_json), stoppable(), LiveView(err) as view:
        finished = go_on(run_folder, view)
    _show_run(finished, as_json)


def prepare(
    recipe: RecipeArgument,
    overrides: Overrides = None,
    show: Annotated[int, typer.Option("--show", help="Rows of each client to show, generated ones where there are some.", min=0)] = 5,
    out_file: Annotated[
        Path | None,
        typer.Option("--out", help="Write the rows of all clients into this new .jsonl file, or pictures into this new folder."),
    ] = None,
    as_json: AsJson = False,
    trusted: TrustPlugins = False,
) -> None:
    """Take the prepare steps of a recipe, and show what they made of each client's data.

    For the owner of the data: rows are shown on this screen, and nothing is trained or sent. What was written is kept, so that a run of the
    same recipe does not write it again. Example: `fedloom prepare u2s_tiny`
    """
    from fedloom.overrides import parse_overrides
    from fedloom.preparing import PreparedClient, write_pictures, write_rows
    from fedloom.preparing import prepare as prepared
    from fedloom.report.live import LiveView
    from fedloom.report.prepared import prepared_table, row_lines
    from fedloom.resolve import load_recipe
    from fedloom.tasks import tasks

    resolved = load_recipe(recipe, parse_overrides(overrides or []))
    of_pictures = tasks.get(resolved.task.kind).record == "picture"
    if out_file and (out_file.suffix == ".jsonl") is of_pictures:
        kind = "a folder, which pictures are written into" if of_pictures else "a file that ends in .jsonl"
        raise RecipeError(f"--out {out_file}: should be {kind}")
    if out_file and out_file.exists():
        raise RecipeError(f"--out {out_file}: exists already; remove it, or choose another name")
    clients: list[PreparedClient] = []
    with stoppable(), LiveView(err) as view:
        for client in prepared(resolved, view.client_progress, view.note):
            clients.append(client)
        if out_file:
            (write_pictures if of_pictures else write_rows)(out_file, clients)
    facts = [
        {"client": one.name, "rows": len(one.records.train), "counts": one.reasons, "measured": one.records.measured} for one in clients
    ]
    if as_json:
        print(json.dumps({"clients": facts, "out": str(out_file) if out_file else None}))
        return
    for one in clients:
        generated = one.records.train[-one.records.generated :] if one.records.generated else one.records.train
        for line in row_lines(one.name, generated, show):
            out.print(line, highlight=False)
    out.print(prepared_table([(one.name, one.reasons) for one in clients]))
    if out_file:
        say(f"written into {out_file}")


def sweep(
    recipe: RecipeArgument,
    words: Annotated[list[str], typer.Argument(metavar="KEY=A,B,C...", help="Values to try: algorithm.name=fedavg,scaffold seed=1,2,3")],
    out_folder: Annotated[Path, typer.Option("--out", help="Folder of the sweep; the same command again goes on in it.")],
    as_json: AsJson = False,
    trusted: TrustPlugins = False,
) -> None:
    """Run a recipe over a grid of values: a run per cell, each once, then tables of means and spreads over seeds, and a picture.

    First what was measured on held-out rows; then the worst client, updates, membership, and what prepare and finish steps measured.

    Example: `fedloom sweep tiny algorithm.name=fedavg,fedprox,scaffold seed=1,2,3 --out runs/algorithms`
    """
    from fedloom.cli.sweeps import run_and_tell
    from fedloom.studies.sweep import plan_sweep

    run_and_tell(plan_sweep(recipe, words, out_folder), as_json)


def validate(
    recipe: RecipeArgument,
    overrides: Overrides = None,
    trusted: TrustPlugins = False,
) -> None:
    """Check a recipe without running it: every key, name and value, the rows of its files, and the files of its suites."""
    from fedloom.benchmarking import check_questions
    from fedloom.data.measured_rows import federated_data
    from fedloom.data.row_notes import source_notes
    from fedloom.data.sources import all_files
    from fedloom.overrides import parse_overrides
    from fedloom.report.text import counted
    from fedloom.resolve import load_recipe

    checked = load_recipe(recipe, parse_overrides(overrides or []))
    check_questions([checked])
    notes = []
    if all(all_files(source) for source in (checked.data.source, checked.evaluate.source) if source):
        notes = source_notes(federated_data(checked), checked)
    out.print(f"{escape(recipe)}: valid ({checked.task.kind}, {checked.algorithm.name}, {counted(checked.federation.rounds, 'round')})")
    for note in notes:
        out.print(escape(note))


@contextlib.contextmanager
def _unfinished_told(run_folder: Path, as_json: bool) -> Iterator[None]:
    """With --json, a run that stops or fails prints its object as a finished one does; a wrong recipe is no run."""
    try:
        yield
    except FedloomError as error:
        if as_json and error.exit_code != RecipeError.exit_code:
            from fedloom.outcome import read

            print(_json_of(read(run_folder)))
        raise


def _show_run(finished: Run, as_json: bool) -> None:
    from fedloom.chat import talks
    from fedloom.report.record import read_run
    from fedloom.report.tables import finish_table, probes_table, results_table
    from fedloom.resolve import load_recipe

    record = read_run(finished.folder)
    for table in (results_table(record), probes_table(record), finish_table(record)):
        if table is not None:
            (err if as_json else out).print(table)
    if as_json:
        print(_json_of(finished))
        return
    trained = finished.adapter_path
    say(f"{trained.name:8} {trained}\nreport   {finished.folder / 'report.html'}")
    if talks(load_recipe(finished.folder / "recipe.yaml")):
        say(f"chat     fedloom chat {finished.folder}")


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
