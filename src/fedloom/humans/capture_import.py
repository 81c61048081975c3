"""A copy of a person's folder, of any layout, in the product's own: straight lines, squares around the person, z up, metres."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

from fedloom.data.capture_layouts import PersonFolder, Photograph, read_person
from fedloom.data.capture_layouts.own import CAMERAS
from fedloom.data.capture_layouts.person_folder import PLACES
from fedloom.data.capture_pictures import colours_of, mask_of, parsing_of
from fedloom.data.lenses import straight_pixels
from fedloom.data.records import PARSING
from fedloom.errors import MissingExtraError, RecipeError
from fedloom.files import read_json, sha256_of, whole_folder, write_atomic
from fedloom.humans.camera_checks import up_of
from fedloom.humans.capture_checks import refuse_wrong
from fedloom.humans.cropping import Crop, crop_of, resampled
from fedloom.humans.person_masks import Masks

UPS = {
    "x": [[0, 0, -1], [0, 1, 0], [1, 0, 0]],
    "-x": [[0, 0, 1], [0, 1, 0], [-1, 0, 0]],
    "y": [[1, 0, 0], [0, 0, -1], [0, 1, 0]],
    "-y": [[1, 0, 0], [0, 0, 1], [0, -1, 0]],
    "z": [[1, 0, 0], [0, 1, 0], [0, 0, 1]],
    "-z": [[1, 0, 0], [0, -1, 0], [0, 0, -1]],
}
"""The rotation that makes an axis of the world point along z, by the axis that is up."""


KEPT_MASKS = ("own", "none")
"""Ways to masks that make nothing new: see `person_masks`."""


@dataclass(frozen=True)
class Importing:
    """How a capture is copied: side of the pictures in pixels, metres in a unit of the cameras' t, and the axis of `UPS` that is up; null
    for the one that is nearest to the cameras' own upward direction."""

    size: int = 256
    scale: float = 1.0
    up: str | None = None


def import_person(person: Path, out: Path, importing: Importing, masks: Masks) -> Path:
    """Write the copy of the folder `person` as a folder of its name in `out`, and give it. One that is there stays as it is where it is the
    copy of the same photographs by the same settings.

    Raises DataError with the first thing that is wrong with the capture, RecipeError for another folder that is there
    already and for a place inside of the capture, MissingExtraError without scipy.
    """
    _require_scipy()
    target = out / person.resolve().name
    if out.resolve().is_relative_to(person.resolve()):
        raise RecipeError(f"--out {out}: lies in the capture {person.name}, which would hold its own copy; choose another folder")
    found = read_person(person)
    if target.exists():
        if _is_copy(target, found, importing, masks):
            return target
        raise RecipeError(f"--out {out}: holds {target.name} already; choose another folder, or remove that one")
    up = importing.up or _name_of(up_of([view.camera for view in found.views]))
    turned = [_turned(photograph, np.array(UPS[up], dtype=np.float64), importing.scale) for photograph in found.photographs]
    with TemporaryDirectory(prefix="fedloom-masks-") as scratch:
        made = masks.made(replace(found, photographs=tuple(turned)), Path(scratch))
        refuse_wrong(made.photographs, person, found.layout)
        with whole_folder(target) as whole:
            done = {"layout": found.layout, "size": importing.size, "scale": importing.scale, "up": up, "masks": masks.named}
            done["files"] = _hashes(found)
            _write(made.photographs, whole, importing.size, masks.written, done, found.fields, made.poses)
    return target


def _is_copy(target: Path, found: PersonFolder, importing: Importing, masks: Masks) -> bool:
    """Whether the folder `target` was imported from the same files, in the same way. Masks that are made now may be others each time."""
    if not (target / CAMERAS).is_file() or masks.named not in KEPT_MASKS:
        return False
    done = read_json(target / CAMERAS, dict).get("imported", {})
    asked = {"layout": found.layout, "size": importing.size, "scale": importing.scale, "masks": masks.named}
    asked |= {} if importing.up is None else {"up": importing.up}
    same = {name: done.get(name) for name in asked} == asked
    return same and done.get("files") == _hashes(found)


def _hashes(found: PersonFolder) -> list[str]:
    """The hashes of all files that a capture consists of."""
    return [sha256_of(path) for path in found.files]


def _require_scipy() -> None:
    try:
        import scipy.ndimage  # noqa: F401
    except ImportError:
        raise MissingExtraError("scipy", "humans", "fedloom humans capture import") from None


def _name_of(axis: np.ndarray) -> str:
    return ("-" if axis.sum() < 0 else "") + "xyz"[int(np.abs(axis).argmax())]


def _turned(photograph: Photograph, rotation: np.ndarray, scale: float) -> Photograph:
    """The photograph in the world whose points are scale * rotation * (a point of the old one)."""
    camera = photograph.view.camera
    turned = replace(camera, R=camera.R @ rotation.T, t=camera.t * scale)
    return replace(photograph, view=replace(photograph.view, camera=turned))


def _write(
    photographs: Sequence[Photograph],
    folder: Path,
    size: int,
    masked: bool,
    done: Mapping[str, Any],
    fields: Mapping[str, str],
    poses: Mapping[str, Any] | None,
) -> None:
    views, sources, points = [], [], []
    for number, photograph in enumerate(photographs, start=1):
        mask = mask_of(photograph.view) if masked else None
        crop = crop_of(photograph, mask, size)
        views.append(_written(photograph, mask, crop, folder, f"{number:02d}.png"))
        sources.append(_source(photograph, crop))
        if poses is not None:
            points.append(_cropped_points(poses["views"][number - 1], photograph, crop))
    content = {"views": views, "fields": dict(fields), "imported": {**done, "views": sources}}
    write_atomic(folder / CAMERAS, json.dumps(content, indent=1, ensure_ascii=False) + "\n")
    if poses is not None:
        write_atomic(folder / "pose.json", json.dumps({"names": poses["names"], "views": points}) + "\n")


def _written(photograph: Photograph, mask: np.ndarray | None, crop: Crop, folder: Path, name: str) -> dict[str, Any]:
    """Write the pictures of one view; what cameras.json says of it."""
    view, camera, lens = photograph.view, photograph.view.camera, photograph.lens
    parsing = parsing_of(view)
    pictures = {PLACES[0]: np.rint(resampled(colours_of(view), camera, lens, crop)).astype(np.uint8)}
    if mask is not None:
        pictures[PLACES[1]] = np.where(resampled(mask, camera, lens, crop) >= 0.5, 255, 0).astype(np.uint8)
    if parsing is not None:
        shares = [resampled(parsing == number, camera, lens, crop) for number in range(1, len(PARSING))]
        shares.insert(0, 1 - np.sum(shares, axis=0))  # outside of the photograph is background
        pictures[PLACES[2]] = np.argmax(shares, axis=0).astype(np.uint8)
    for place, pixels in pictures.items():
        save_picture(pixels, folder / place / name)
    keys = dict(zip(PLACES, ("image", "mask", "parsing"), strict=True))
    return {keys[place]: f"{place}/{name}" for place in pictures} | {"camera": crop.camera(camera).plain()}


def _source(photograph: Photograph, crop: Crop) -> dict[str, Any]:
    """Where a view of the copy comes from."""
    image = photograph.view.image
    return {
        "image": image.name,
        "sha256": sha256_of(image),
        "lens": vars(photograph.lens),
        "crop": {"left": crop.left, "top": crop.top, "side": crop.side},
    }


def _cropped_points(points: Any, photograph: Photograph, crop: Crop) -> Any:
    """Key points [x, y, visibility] of a photograph as pixels of the copy; null stays null."""
    if points is None:
        return None
    known = np.array(points)
    straight = straight_pixels(photograph.view.camera, photograph.lens, known[:, :2])
    seen = straight @ crop.matrix[:2, :2].T + crop.matrix[:2, 2]
    return np.concatenate([seen, known[:, 2:]], axis=1).round(3).tolist()


def save_picture(pixels: np.ndarray, path: Path) -> None:
    """Write uint8 (height, width) or (height, width, 3) as PNG, with the folder that it lies in."""
    from PIL import Image

    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path, format="PNG")
