"""The command that shows what was made of people's photographs."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from fedloom.cli.humans import humans_app
from fedloom.cli.parts import err, say, stoppable
from fedloom.errors import RecipeError


@humans_app.command()
def render(
    person: Annotated[Path, typer.Argument(metavar="PERSON.glb", help="A person in layers.")],
    folder: Annotated[Path, typer.Option("--out", help="Folder for the pictures, and the page.")],
    views: Annotated[int, typer.Option(help="Pictures, from as many sides.", min=1, max=99)] = 8,
    size: Annotated[int, typer.Option(help="Height and width of a picture in pixels.", min=16, max=4096)] = 512,
    layers: Annotated[str, typer.Option(help="Only these layers, such as upper,lower; default: all that there are.")] = "",
    with_page: Annotated[
        bool, typer.Option("--page", help="Write page.html too: the person in 3D, in any browser, without network.")
    ] = False,
) -> None:
    """Show a person in layers from all around: a PNG for each side, and all on one sheet. The body is shown as a mannequin.

    Example: `fedloom humans render anna.glb --out anna --layers upper,lower --page`
    """
    from fedloom.humans.glb import glb_bytes, read_glb
    from fedloom.humans.pictures import write_turntable
    from fedloom.humans.viewer import viewer_page

    held = read_glb(person)
    names = [name.strip() for name in layers.split(",") if name.strip()] or list(held)
    if unknown := [name for name in names if name not in held]:
        raise RecipeError(f"--layers {unknown[0]}: {person} has no such layer; it has {', '.join(held)}")
    shown = {name: layer for name, layer in held.items() if name in names}
    with err.status("rendering"), stoppable(without_trace=True):
        paths = write_turntable(shown, folder, views, size)
    say(f"pictures  {len(paths) - 1} in {folder}")
    say(f"sheet  {paths[-1]}")
    if with_page:
        page = folder / "page.html"
        viewer_page({person.stem: person.read_bytes() if len(shown) == len(held) else glb_bytes(shown)}, page)
        say(f"page  {page}")
