"""What may be wrong with the photographs, the masks and the cameras of a person, each said in one line with the file and the fix."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import numpy as np

from fedloom.data.capture_layouts import Photograph, is_person_folder, nerf, read_person
from fedloom.data.capture_pictures import colours_of, mask_of, parsing_of
from fedloom.data.folders import subfolders_of
from fedloom.data.records import View
from fedloom.errors import DataError
from fedloom.files import sha256_of
from fedloom.humans.camera_checks import (
    OF_MATRICES,
    OF_TRANSFORMS,
    cameras_at_one_place,
    cameras_looking_elsewhere,
    masks_taken_together,
)
from fedloom.humans.coarse_hull import Silhouette

T = TypeVar("T")

FEWEST = 4
"""Views of a person, at the least."""

FULL = 0.98
"""Share of a picture from which on a mask is taken to hold no person's outline."""

LOSSY = (".jpg", ".jpeg")
"""Suffixes of masks whose values are not what was drawn."""


@dataclass(frozen=True)
class PersonReport:
    """What is known of a person's folder. `sizes` of the pictures are (width, height); `height` is in metres, null where no hull tells it;
    `layout` is empty where the folder could not be read."""

    person: str
    layout: str
    views: int
    sizes: tuple[tuple[int, int], ...]
    masks: int
    parsings: int
    height: float | None
    findings: tuple[str, ...]


def people_in(folder: Path) -> list[Path]:
    """The folders of persons that `folder` holds, or itself where it is one. Raises DataError when there is none."""
    if not folder.is_dir():
        raise DataError(f"{folder}: no such folder")
    if is_person_folder(folder):
        return [folder]
    if not (people := subfolders_of(folder)):
        raise DataError(f"{folder}: holds no captures; expected one subfolder per person")
    return people


def report_of(person: Path) -> PersonReport:
    """Everything that is found of a person's folder, in any layout."""
    try:
        found = read_person(person)
    except DataError as error:
        return PersonReport(person.name, "", 0, (), 0, 0, None, (str(error),))
    checked = check(found.photographs, person, found.layout)
    sizes = tuple(dict.fromkeys((view.camera.width, view.camera.height) for view in found.views))
    parsings = sum(view.parsing is not None for view in found.views)
    findings = (*checked.findings, *_bent(found.photographs, person))
    return PersonReport(person.name, found.layout, len(found.views), sizes, checked.masks, parsings, checked.height, findings)


def refuse_wrong(photographs: Sequence[Photograph], person: Path, layout: str) -> None:
    """Raise DataError with the first thing that `check` finds, and how many more there are."""
    findings = check(photographs, person, layout).findings
    if findings:
        further = f" (and {len(findings) - 1} more: fedloom humans capture check {person})" if len(findings) > 1 else ""
        raise DataError(f"{findings[0]}{further}")


@dataclass(frozen=True)
class Checked:
    """`findings` are lines with the file and the fix, `masks` the number of views with a mask, `height` that of the person in metres."""

    findings: tuple[str, ...]
    masks: int
    height: float | None


def check(photographs: Sequence[Photograph], person: Path, layout: str) -> Checked:
    """What is wrong with `photographs` of the folder `person`, whose cameras came in `layout`.

    Cameras are compared with each other only where their pictures and masks can be read.
    """
    where, advice = str(person), OF_TRANSFORMS if layout == nerf.NAME else OF_MATRICES
    findings = [*_few(photographs, where)]
    masks: list[np.ndarray | None] = []
    for photograph in photographs:
        mask, problems = _of_one(photograph)
        masks.append(mask)
        findings += problems
    findings += [*_alike(photographs), *cameras_at_one_place(photographs)]
    seen = [(one, mask) for one, mask in zip(photographs, masks, strict=True) if mask is not None]
    silhouettes = [Silhouette(one.view.camera, one.lens, mask) for one, mask in seen]
    if findings or len(silhouettes) < FEWEST:
        return Checked((*findings, *cameras_looking_elsewhere(photographs, where, advice)), len(silhouettes), None)
    height, of_masks = masks_taken_together(silhouettes, [str(one.view.image) for one, _ in seen], where, advice)
    return Checked(tuple(of_masks), len(silhouettes), height)


def _few(photographs: Sequence[Photograph], where: str) -> Iterator[str]:
    if len(photographs) < FEWEST:
        yield f"{where}: has {len(photographs)} views, and a person needs {FEWEST} at the least; add photographs from other sides"


def _of_one(photograph: Photograph) -> tuple[np.ndarray | None, list[str]]:
    """The person's mask where it is usable, and what is wrong with one view by itself."""
    view = photograph.view
    _, of_picture = _tried(lambda: colours_of(view))
    mask, of_mask = (None, []) if of_picture else _tried(lambda: mask_of(view))
    _, of_parsing = _tried(lambda: parsing_of(view))
    if mask is not None and (problem := _of_mask(mask, view)):
        mask, of_mask = None, [problem]
    return mask, [*of_picture, *of_mask, *of_parsing]


def _tried(read: Callable[[], T]) -> tuple[T | None, list[str]]:
    try:
        return read(), []
    except DataError as error:
        return None, [str(error)]


def _of_mask(mask: np.ndarray, view: View) -> str:
    """What is wrong with a mask by itself; empty: nothing."""
    if not mask.any():
        return f"{view.image}: its mask is empty, so that the camera does not see the person; take the view out, or mend the mask"
    if mask.mean() > FULL:
        return f"{view.image}: its mask fills the picture; it should be 0 wherever the person is not seen"
    if view.mask is not None and view.mask.suffix.lower() in LOSSY:
        return f"{view.mask}: is a mask in JPEG, whose values near edges are not exact; save it as PNG"
    return ""


def _alike(photographs: Sequence[Photograph]) -> Iterator[str]:
    known: dict[str, Path] = {}
    for photograph in photographs:
        image = photograph.view.image
        if (first := known.setdefault(sha256_of(image), image)) is not image:
            yield f"{image}: is the same picture as {first.name}; take one of the views out, or put its own picture there"


def _bent(photographs: Sequence[Photograph], person: Path) -> Iterator[str]:
    if count := sum(not photograph.lens.is_pinhole for photograph in photographs):
        yield (
            f"{person}: {count} of {len(photographs)} views have a lens that bends straight lines; make straight copies:"
            f" fedloom humans capture import {person} --out FOLDER"
        )
