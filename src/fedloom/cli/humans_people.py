"""The commands that make a person in layers out of a capture, dress it, and measure it."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table

from fedloom.cli.humans import humans_app
from fedloom.cli.parts import AsJson, err, finite, out, say, stoppable
from fedloom.errors import RecipeError
from fedloom.measures import Measure

OutFolder = Annotated[Path, typer.Option("--out", help="The person's folder: readable by its owner alone.")]
PersonArgument = Annotated[Path, typer.Argument(metavar="PERSON", help="A folder that `fedloom humans separate` completed.")]


@humans_app.command()
def reconstruct(
    capture: Annotated[Path, typer.Argument(metavar="CAPTURE", help="One person's folder of photographs.")],
    field: Annotated[Path, typer.Option(help="A run of the task radiance, or the folder of its model.")],
    folder: OutFolder,
    voxel: Annotated[float, typer.Option(help="Grid of the surface in centimetres.", min=0.3, max=5, callback=finite)] = 1.5,
    refine: Annotated[int, typer.Option(help="Steps of fitting to this person's own photographs; 0: none.", min=0, max=100_000)] = 0,
) -> None:
    """Reconstruct the surface of a person from photographs, with a trained field.

    Example: `fedloom humans reconstruct people/person-0000 --field runs/usr --out anna --refine 800`
    """
    from fedloom.data.capture_layouts import read_person
    from fedloom.data.capture_rows import views_of
    from fedloom.data.captures import read_capture
    from fedloom.humans.capture_checks import refuse_wrong
    from fedloom.humans.person_files import save_surface
    from fedloom.humans.reconstruction import load_field, reconstruct
    from fedloom.humans.refinement import Refining

    net, found = load_field(field), read_person(capture)
    photographs = read_capture(capture)
    refuse_wrong(found.photographs, capture, found.layout)
    _refuse_place(folder)
    if folder.resolve() == capture.resolve():
        raise RecipeError(f"--out {folder}: holds the photographs; choose another folder")
    refining = Refining(cell=min(voxel / 100, Refining.cell), steps=refine) if refine else None
    with err.status("reconstructing") as status, stoppable(without_trace=True):
        progress = lambda done, total: status.update(f"fitting: step {done} of {total}")  # noqa: E731
        mesh = reconstruct(net, views_of(photographs), voxel / 100, refining, progress)
    made_of = {"capture": str(capture.absolute()), "field": str(field.absolute()), "voxel_cm": voxel, "refine": refine}
    save_surface(mesh, made_of, folder)
    say(f"surface  {len(mesh.vertices):,} vertices, {len(mesh.faces):,} faces, in {folder}")
    say(f"layers  fedloom humans separate {folder}")


@humans_app.command()
def separate(
    folder: Annotated[Path, typer.Argument(metavar="PERSON", help="A folder that `fedloom humans reconstruct` made.")],
    texture: Annotated[int, typer.Option(help="Side of a layer's picture in texels; 0: colours of vertices.", min=0, max=8192)] = 1024,
) -> None:
    """Separate a reconstructed person into layers: garments, bound to the body that is found beneath them. Writes person.glb.

    Example: `fedloom humans separate anna`
    """
    from fedloom.data.captures import read_capture
    from fedloom.humans.body.packaged import packaged_body
    from fedloom.humans.layering import layered_person
    from fedloom.humans.person_files import GLB, load_surface, save_person

    surface, made_of = load_surface(folder)
    with err.status("separating"), stoppable(without_trace=True):
        person = layered_person(surface, read_capture(Path(made_of["capture"])), packaged_body(), texture or None)
    save_person(person, folder)
    table = Table("layer", "vertices", "not seen", title_justify="left")
    for name, look in person.looks.items():
        table.add_row(name, f"{len(look.mesh.vertices):,}", f"{look.inferred_share:.0%}")
    out.print(table)
    say(f"body  bare skin {100 * person.fitted.errors['skin']:.2f} cm from it, in the middle")
    say(f"person  {folder / GLB}")


@humans_app.command()
def dress(
    wearer: PersonArgument,
    lender: Annotated[Path, typer.Argument(metavar="GARMENTS", help="The folder of the person whose clothes are put on; may be the same.")],
    folder: Annotated[Path, typer.Option("--out", help="Folder for dressed.glb and the page with before and after.")],
    take: Annotated[str, typer.Option(help="Layers that are taken: hair, upper, lower, shoes.")] = "upper,lower",
    pose: Annotated[str, typer.Option(help="standing, walking, a_pose, arms_raised or gesturing; default: as photographed.")] = "",
    seed: Annotated[int, typer.Option(help="Draws the pose.")] = 7,
    shape: Annotated[str, typer.Option(help="Numbers of the body's shape, such as 0:1.5,3:-1; default: as photographed.")] = "",
) -> None:
    """Put one person's clothes on another, in another pose or shape if that is wanted.

    Example: `fedloom humans dress anna bela --take upper --pose arms_raised --out anna-in-belas-shirt`
    """
    from fedloom.files import private_folder, write_atomic
    from fedloom.humans.body.packaged import packaged_body
    from fedloom.humans.glb import glb_bytes
    from fedloom.humans.person_files import GLB, load_person
    from fedloom.humans.poses import STYLES, pose_in
    from fedloom.humans.viewer import viewer_page
    from fedloom.humans.wearing import reposed, reshaped, swapped, wearing
    from fedloom.streams import numpy_stream

    _refuse_place(folder)
    names = [name.strip() for name in take.split(",") if name.strip()]
    if not names:
        raise RecipeError("--take: names no layer; expected some of hair, upper, lower, shoes")
    body, one, other = packaged_body(), load_person(wearer), load_person(lender)
    if pose and pose not in STYLES:
        raise RecipeError(f"--pose {pose}: is no pose; expected one of {', '.join(STYLES)}")
    layers, looks = swapped(one, other, names)
    person = reshaped(one[0], _numbers(shape))
    if pose:
        person = reposed(person, pose_in(pose, body.joint_names, numpy_stream(seed, "dress")))
    with err.status("dressing"), stoppable(without_trace=True):
        made = glb_bytes(wearing(body, person, layers, looks))
    private_folder(folder)
    write_atomic(folder / "dressed.glb", made, private=True)
    viewer_page({"before": (wearer / GLB).read_bytes(), "after": made}, folder / "page.html")
    say(f"dressed  {folder / 'dressed.glb'}")
    say(f"page  {folder / 'page.html'}")


@humans_app.command()
def evaluate(
    folder: Annotated[
        Path, typer.Argument(metavar="PERSON|RUN", help="A folder that `fedloom humans separate` completed; with --people, a field.")
    ],
    truth: Annotated[
        Path | None, typer.Option(help="The synthetic capture it was made of; default: the one that the folder names.")
    ] = None,
    people: Annotated[
        Path | None, typer.Option(help="Captures with truth: measures what the run's field shows of these people, means over them.")
    ] = None,
    views: Annotated[int, typer.Option(help="With --people: views of each person that the field sees.", min=3, max=99)] = 6,
    refine: Annotated[int, typer.Option(help="With --people: steps of fitting to each person's views; 0: none.", min=0, max=100_000)] = 0,
    as_json: AsJson = False,
) -> None:
    """Measure a reconstructed person against the truth of a synthetic capture, or a field on people that it was not trained on.

    Example: `fedloom humans evaluate anna`; `fedloom humans evaluate runs/usr --people unseen`
    """
    with err.status("measuring") as status, stoppable(without_trace=True):
        found = _of_person(folder, truth) if people is None else _of_field(folder, people, views, refine, status.update)
    if as_json:
        print(json.dumps({measure.name: value for measure, value in found}))
        return
    table = Table("measure", "value", title_justify="left")
    for measure, value in found:
        table.add_row(measure.title, f"{measure.shown(value)} {'' if measure.is_share else measure.unit}".strip())
    out.print(table)


def _refuse_place(folder: Path) -> None:
    """Say before anything is computed that `folder` cannot be one."""
    if folder.exists() and not folder.is_dir():
        raise RecipeError(f"--out {folder}: is a file; name a folder")


def _of_person(folder: Path, truth: Path | None) -> list[tuple[Measure, float]]:
    from fedloom.humans.person_evaluation import person_errors
    from fedloom.humans.person_files import load_surface

    _, made_of = load_surface(folder)
    return person_errors(folder, truth or Path(made_of["capture"]))


def _of_field(run: Path, people: Path, views: int, refine: int, tell: Callable[[str], None]) -> list[tuple[Measure, float]]:
    from fedloom.humans.field_evaluation import Looking, field_errors, mean_errors, people_in
    from fedloom.humans.reconstruction import load_field
    from fedloom.humans.refinement import Refining

    net, looking, found = load_field(run), Looking(views, refining=Refining(steps=refine) if refine else None), []
    captures = people_in(people)
    for number, capture in enumerate(captures, start=1):
        tell(f"person {number} of {len(captures)}")
        found.append(field_errors(net, capture, looking))
    return mean_errors(found)


def _numbers(text: str) -> dict[int, float]:
    """place -> value, out of "0:1.5,3:-1"."""
    try:
        return {int(place): float(value) for place, value in (pair.split(":") for pair in text.split(",") if pair.strip())}
    except ValueError:
        raise RecipeError(f"--shape {text}: should be places and values, such as 0:1.5,3:-1") from None
