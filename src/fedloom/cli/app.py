"""The command line. Every command is a few lines that call the library; results go to standard output, progress to standard error."""

from __future__ import annotations

import sys
from importlib.metadata import version
from typing import Annotated

import typer
from rich.markup import escape

from fedloom.cli import bench_data, bench_run, humans_captures, humans_people, humans_results, humans_synth, results, runs  # noqa: F401 - some add commands
from fedloom.cli.audit import audit_app
from fedloom.cli.bench_analyse import bench_app
from fedloom.cli.catalogues import data_app, models_app, recipes_app
from fedloom.cli.evaluate import evaluate
from fedloom.cli.generate import generate_app
from fedloom.cli.humans import humans_app
from fedloom.cli.parts import err
from fedloom.cli.privacy import privacy_app
from fedloom.cli.safety import repair, safety_app
from fedloom.errors import FedloomError

app = typer.Typer(
    name="fedloom",
    help="Train one model together on data that its owners may not share.\n\nA first look, without a download: `fedloom run tiny`",
    no_args_is_help=True,
    rich_markup_mode="markdown",
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
for name, commands in {
    "recipes": recipes_app,
    "models": models_app,
    "data": data_app,
    "safety": safety_app,
    "audit": audit_app,
    "privacy": privacy_app,
    "generate": generate_app,
    "bench": bench_app,
    "humans": humans_app,
}.items():
    app.add_typer(commands, name=name)
for command in (
    repair,
    runs.run,
    runs.demo,
    runs.prepare,
    runs.resume,
    runs.sweep,
    runs.validate,
    results.chat,
    evaluate,
    results.export,
    results.report,
    results.compare,
    results.clean,
):
    app.command()(command)


def _print_version(wanted: bool) -> None:
    if wanted:
        print(f"fedloom {version('fedloom')}")
        raise typer.Exit


@app.callback()
def _main(
    _: Annotated[bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version and end.")] = False,
) -> None:
    pass


def main() -> None:
    """Run the command; a user's mistake is one line and an exit code, never a traceback."""
    try:
        app()
    except FedloomError as error:
        err.print(f"[bold red]error:[/] {escape(str(error))}", soft_wrap=True, highlight=False)
        sys.exit(error.exit_code)
    except BrokenPipeError:
        sys.exit(1)
    except OSError as error:  # of this machine, not of the program: a file that cannot be read, a disk or a network that is gone
        err.print(f"[bold red]error:[/] {escape(str(error))}", soft_wrap=True, highlight=False)
        sys.exit(1)
