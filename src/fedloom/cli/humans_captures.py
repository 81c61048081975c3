"""The commands that check, import and parse captures of people."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Column, Table
from rich.text import Text

from fedloom.cli.humans import capture_app
from fedloom.cli.parts import AsJson, err, finite, out, say, stoppable
from fedloom.errors import DataError, RecipeError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from fedloom.humans.capture_checks import PersonReport
    from fedloom.humans.person_masks import Masks

LINES = 10
"""Lines that a training writes."""

FolderArgument = Annotated[Path, typer.Argument(metavar="FOLDER", help="A person's folder, or a folder with one subfolder per person.")]


@capture_app.command("check")
def capture_check(folder: FolderArgument, as_json: AsJson = False) -> None:
    """Say what is wrong with captures: cameras, pictures, masks and parsing of every person. Exit code 2 when something is.

    Example: `fedloom humans capture check captures`
    """
    from fedloom.humans.capture_checks import people_in, report_of

    with err.status("checking"), stoppable(without_trace=True):
        reports = [report_of(person) for person in people_in(folder)]
    _show(reports, as_json)
    if any(report.findings for report in reports):
        raise typer.Exit(DataError.exit_code)


@capture_app.command("import")
def capture_import(
    folder: FolderArgument,
    out_folder: Annotated[Path, typer.Option("--out", help="Folder that gets a subfolder for every person.")],
    masks: Annotated[
        str | None, typer.Option(help="auto: made by a model; a folder with pictures of the same names; none. Default: the capture's own.")
    ] = None,
    size: Annotated[int, typer.Option(min=16, max=4096, help="Side of the squares around the person in pixels.")] = 256,
    scale: Annotated[float, typer.Option(help="Metres in a unit of the cameras' positions.", callback=finite)] = 1.0,
    up: Annotated[
        str | None,
        typer.Option(help="Axis of the capture's world that is up: x, -x, y, -y, z or -z; default: nearest to the cameras' own."),
    ] = None,
    mediapipe_python: Annotated[
        Path | None, typer.Option(help="For --masks auto: an interpreter that has mediapipe==0.10.21; key points go into pose.json.")
    ] = None,
    mask_model: Annotated[
        str | None, typer.Option(help="For --masks auto: a model for semantic segmentation, by folder or id of the hub.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Copy captures of any layout (transforms.json, COLMAP text, OpenCV YAML, cameras.json) into the own one.

    Lenses are straightened, pictures cut to squares around the person, cameras changed with them, and the world turned so that z is up.
    cameras.json says where everything came from. Of several people, those in which something is wrong are named and left out.

    Example: `fedloom humans capture import scans --out captures --size 256`
    """
    from fedloom.humans.capture_checks import people_in, report_of
    from fedloom.humans.capture_import import UPS, Importing, import_person

    if scale <= 0:
        raise RecipeError(f"--scale {scale:g}: should be above 0")
    if up is not None and up not in UPS:
        raise RecipeError(f"--up {up}: should be one of {', '.join(UPS)}")
    chosen = _masks(masks, mediapipe_python, mask_model)
    people, reports, refused = people_in(folder), [], []
    with stoppable(without_trace=True):
        for person in people:
            try:
                with err.status(f"importing {person.name}"):
                    reports.append(report_of(import_person(person, out_folder, Importing(size, scale, up), chosen)))
            except (DataError, RecipeError) as error:
                refused.append(error)
    if len(refused) == len(people):
        raise refused[0]
    _show(reports, as_json)
    if not as_json:
        say(f"captures  {out_folder}")
    if refused:
        reasons = "".join(f"\n{error}" for error in refused)
        raise DataError(f"{len(refused)} of {len(people)} people are not imported; mend them, and the same command adds them:{reasons}")


def _masks(masks: str | None, mediapipe_python: Path | None, mask_model: str | None) -> Masks:
    from fedloom.files import local_path
    from fedloom.humans.person_masks import REQUIREMENT, FolderMasks, Masks, MediapipeMasks, ModelMasks, NoMasks
    from fedloom.humans.segmentation_model import open_segmentation

    if masks != "auto":
        if mediapipe_python or mask_model:
            raise RecipeError("--masks: should be auto, so that --mediapipe-python or --mask-model makes them")
        if masks not in (None, "none") and not local_path(masks).is_dir():
            raise RecipeError(f"--masks {masks}: no such folder; write auto, none, or a folder with masks")
        return Masks() if masks is None else NoMasks() if masks == "none" else FolderMasks(local_path(masks))
    if mediapipe_python is not None:
        return MediapipeMasks(mediapipe_python)
    if mask_model is not None:
        return ModelMasks(open_segmentation(mask_model))
    raise RecipeError(
        f"--masks auto: needs --mediapipe-python PATH, an interpreter that has {REQUIREMENT} (python -m venv mp; mp/bin/pip install"
        f" '{REQUIREMENT}' 'numpy<2'), or --mask-model MODEL"
    )


@capture_app.command("parse")
def capture_parse(
    folder: FolderArgument,
    parser: Annotated[str, typer.Option(help="A folder of train-parser, or a model that parses clothes, by folder or id of the hub.")],
    as_json: AsJson = False,
) -> None:
    """Write the parsing (skin, hair, upper, lower, shoes) of views that have none, and note it in their cameras.json.

    Example: `fedloom humans capture parse captures --parser parsers/mine`
    """
    from fedloom.humans.capture_checks import people_in
    from fedloom.humans.parser import parser_of
    from fedloom.humans.parsing_captures import parse_person

    known = parser_of(parser)
    begin = perf_counter()
    with err.status("parsing"), stoppable(without_trace=True):
        parsed = {person.name: parse_person(person, known) for person in people_in(folder)}
    seconds = perf_counter() - begin
    if as_json:
        print(json.dumps({"parsed": parsed, "seconds": round(seconds, 1)}))
        return
    say(f"parsed  {sum(parsed.values())} views of {len(parsed)} people in {seconds:.1f} s; inferred, not true")


@capture_app.command("train-parser")
def capture_train_parser(
    source: Annotated[str, typer.Argument(metavar="SOURCE", help="Folder of captures with masks and parsings, or a data.source of them.")],
    out_folder: Annotated[Path, typer.Option("--out", help="Folder of the parser.")],
    settings: Annotated[
        list[str] | None,
        typer.Argument(metavar="[KEY=VALUE]...", help="Settings: steps=1000 batch_size=8 learning_rate=2e-3 size=192 seed=7"),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Train a small network that parses pictures of dressed people, on captures whose parsing is known, such as synthetic ones.

    Example: `fedloom humans capture train-parser people --out parsers/mine steps=1000`
    """
    from fedloom.data.sources import load_records
    from fedloom.files import local_path
    from fedloom.humans.parser_training import ParserTraining, train_parser
    from fedloom.overrides import parse_overrides
    from fedloom.recipe import DataRecipe
    from fedloom.registry import checked_settings

    training = ParserTraining(**checked_settings(ParserTraining, parse_overrides(settings or []), "train-parser"))
    loaded = load_records(DataRecipe(source=f"captures:{source}" if local_path(source).is_dir() else source), training.seed)
    if loaded.kind != "capture":
        raise DataError(f"{source}: holds {loaded.kind}s, and a parser learns from captures; name a folder of captures")
    begin = perf_counter()

    def tell(step: int, loss: float) -> None:
        if step == training.steps or step % max(1, training.steps // LINES) == 0:
            err.print(f"step {step} of {training.steps}: loss {loss:.3f}", highlight=False)

    with stoppable(without_trace=True):
        parser = train_parser(list(loaded.records), training, out_folder, tell)  # type: ignore[arg-type]
    facts = parser.facts["trained_on"]
    if as_json:
        print(json.dumps({"folder": str(out_folder), **facts, "seconds": round(perf_counter() - begin, 1)}))
        return
    say(f"views    {facts['views']:,} of {facts['captures']:,} people")
    if "private" in facts["provenance"]:
        say("private  it was trained on private pictures, and may hold something of them: keep it where they are")
    say(f"parser   {out_folder}")


def _show(reports: Sequence[PersonReport], as_json: bool) -> None:
    if as_json:
        wrong = sum(len(report.findings) for report in reports)
        print(json.dumps({"people": [asdict(report) for report in reports], "findings": wrong}, ensure_ascii=False))
        return
    right = {"justify": "right"}
    headings = ("views", "masks", "parsing", "height (m)", "findings")
    table = Table("person", "layout", "size", *(Column(heading, **right) for heading in headings))  # type: ignore[arg-type]
    for one in reports:
        sizes = ", ".join(f"{width} x {height}" for width, height in one.sizes)
        height = "" if one.height is None else f"{one.height:.2f}"
        counts = (one.views, one.masks, one.parsings)
        table.add_row(Text(one.person), one.layout, sizes, *map(str, counts), height, str(len(one.findings)))
    out.print(table)
    for finding in (finding for one in reports for finding in one.findings):
        say(finding)
