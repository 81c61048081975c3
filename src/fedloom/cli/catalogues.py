"""The commands that list and show what there is before a run: presets, models, data."""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.markup import escape
from rich.table import Column, Table

from fedloom.cli.parts import AsJson, Overrides, RecipeArgument, TrustPlugins, draw, err, out, say
from fedloom.errors import ModelError, RecipeError
from fedloom.files import disk_errors_named

if TYPE_CHECKING:
    pass


recipes_app = typer.Typer(help="The presets that come with Fedloom: list, read, copy.", no_args_is_help=True)
models_app = typer.Typer(help="Models that are known by name: list them, fetch one.", no_args_is_help=True)
data_app = typer.Typer(help="Look at a recipe's data before anything is trained.", no_args_is_help=True)


@recipes_app.command("ls")
def recipes_ls() -> None:
    """List the presets."""
    from fedloom.resolve import PRESETS, preset_names

    table = Table("preset", "what it is")
    for name in preset_names():
        first = (PRESETS / f"{name}.yaml").read_text(encoding="utf-8").splitlines()[0]
        table.add_row(name, escape(first.removeprefix("# ")))
    out.print(table)


@recipes_app.command("show")
def recipes_show(
    recipe: RecipeArgument,
    full: Annotated[bool, typer.Option("--full", help="With every default written out.")] = False,
    trusted: TrustPlugins = False,
) -> None:
    """Print a preset as YAML."""
    from fedloom.report.text import printable
    from fedloom.resolve import find_recipe, load_recipe

    sys.stdout.write(printable(load_recipe(recipe).to_yaml() if full else find_recipe(recipe).read_text(encoding="utf-8")))


@recipes_app.command("copy")
def recipes_copy(recipe: RecipeArgument, target: Annotated[Path, typer.Argument(help="The new file.")]) -> None:
    """Copy a preset to a file of your own, to change it."""
    from fedloom.resolve import find_recipe

    if target.exists():
        raise RecipeError(f"{target}: exists already; choose another name")
    with disk_errors_named(target):
        shutil.copyfile(find_recipe(recipe), target)
    say(f"{target}: written; run it with `fedloom run {target}`")


@models_app.command("ls")
def models_ls() -> None:
    """List the models known by name. Any hub id or local folder works too."""
    from fedloom.models.catalogue import catalogue
    from fedloom.models.networks import PICTURE_NETWORKS, TEXT_NETWORKS
    from fedloom.report.text import byte_text

    table = Table(Column("id", no_wrap=True), "what it is", "parameters", "licence", "download", "here")
    for entry in catalogue():
        size = byte_text(entry.size_bytes) if entry.size_bytes else "none"
        table.add_row(entry.id, entry.description, f"{entry.parameters:,}", entry.licence, size, "yes" if entry.cached else "no")
    for id, network in (PICTURE_NETWORKS | TEXT_NETWORKS).items():
        table.add_row(id, network.description, f"{network.parameters(labels=10):,}", "", "none", "yes")
    table.caption = "What has no licence is drawn from the seed of a run; its parameters are counted with ten labels."
    out.print(table)


@models_app.command("get")
def models_get(model: Annotated[str, typer.Argument(metavar="ID", help="A name of `fedloom models ls`.")]) -> None:
    """Fetch a named model into the cache, and print its folder."""
    from fedloom.models.catalogue import fetch
    from fedloom.models.networks import PICTURE_NETWORKS, TEXT_NETWORKS

    if model in PICTURE_NETWORKS | TEXT_NETWORKS:
        raise ModelError(f"{model}: is drawn from the seed of a run, and there is nothing to fetch")
    say(fetch(model))


@data_app.command("inspect")
def data_inspect(
    recipe: RecipeArgument,
    overrides: Overrides = None,
    picture: Annotated[Path | None, typer.Option("--picture", help="Draw who holds what into this .png or .svg file.")] = None,
    as_json: AsJson = False,
    trusted: TrustPlugins = False,
) -> None:
    """Who holds what: rows per client, answers, how uneven the split is, rows that would be cut or left out. Never any text of a row."""
    from fedloom.data.summary import summary_table
    from fedloom.inspecting import inspect
    from fedloom.overrides import parse_overrides
    from fedloom.report.plots import data_split, document_split
    from fedloom.report.text import counted
    from fedloom.resolve import load_recipe

    resolved = load_recipe(recipe, parse_overrides(overrides or []))
    with err.status("reading rows"):
        seen = inspect(resolved)
    data = seen.data
    drawing = document_split if data.kind == "document" else data_split
    if picture and (figure := drawing(seen.rows)):
        draw(figure, picture)
    if as_json:
        facts = {"origin": data.origin, "sha256": data.sha256, "left_out": data.left_out, "clients": seen.rows, "notes": seen.notes}
        print(json.dumps(facts))
        return
    out.print(f"{escape(data.origin)}, {counted(len(data.clients), 'client')}")
    out.print(summary_table(seen.rows, seen.field))
    for note in seen.notes:
        out.print(escape(note))
    if picture:
        say(f"drawn into {picture}")
