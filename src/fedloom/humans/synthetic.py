"""Captures of synthetic people with exact truth: a folder per person, as `data.captures` reads it, and the truth beside."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from fedloom.data.capture_writing import TakenView, write_capture
from fedloom.errors import InterruptedRunError, RecipeError
from fedloom.files import read_json, whole_folder, write_atomic
from fedloom.humans.body.packaged import SKIN, packaged_body
from fedloom.humans.garments import Garment
from fedloom.humans.people import Dressed, Person, draw_person, dressed, studio_of
from fedloom.humans.render import Light, Scene, Surface, ring_of_cameras
from fedloom.humans.truth import FACTS, Truth, write_truth
from fedloom.humans.wardrobe import licences, wardrobe
from fedloom.streams import numpy_stream, stream_seed

FORMAT = 2
"""Counted up when the same settings give other bytes."""

DIRECTIONS, STEEPEST = 48, 0.8
"""Directions from which it is found out what can be seen, and the sine of the steepest, upwards as downwards."""


@dataclass(frozen=True)
class SyntheticCaptures:
    """`people` with `views` pictures of `size` x `size` pixels each. The people belong to `studios` by turns, or all to the one of number
    `studio`, from 0: studios differ in how tall their people are and in what they wear."""

    people: int = 8
    views: int = 16
    size: int = 256
    seed: int = 7
    studio: int | None = None
    studios: int = 1


def make_captures(settings: SyntheticCaptures, out: Path, made: Callable[[int], None] = lambda _: None) -> int:
    """Write the captures into the folder `out` and give how many were not there before. `made` is told after each how many there are.

    The same settings give the same bytes. A stopped making goes on where it was. Raises RecipeError for a studio that there is not, and for
    a folder with captures of other settings; WheelError when the clothes cannot be fetched; MissingExtraError without the extra `humans`;
    InterruptedRunError on Ctrl-C.
    """
    if settings.studio is not None and not 0 <= settings.studio < settings.studios:
        raise RecipeError(f"--studio {settings.studio}: with --studios {settings.studios} they are numbered 0 to {settings.studios - 1}")
    folders = [out / f"person-{number:04}" for number in range(settings.people)]
    missing = [number for number, folder in enumerate(folders) if not _is_made(folder, _stamp(settings))]
    garments = wardrobe() if missing else {}
    try:
        for place, number in enumerate(missing, start=len(folders) - len(missing) + 1):
            with whole_folder(folders[number]) as folder:
                _make(settings, number, folder, garments)
            made(place)
    except KeyboardInterrupt:
        raise InterruptedRunError(f"{out}: stopped; the same command goes on with the captures that are missing") from None
    write_atomic(out / "LICENCES.txt", licences())
    return len(missing)


def _stamp(settings: SyntheticCaptures) -> dict[str, Any]:
    """What decides the bytes of one person's folder."""
    return {name: value for name, value in asdict(settings).items() if name != "people"} | {"format": FORMAT}


def _is_made(folder: Path, stamp: Mapping[str, Any]) -> bool:
    if not folder.exists():
        return False
    if not (folder / FACTS).is_file() or read_json(folder / FACTS, dict).get("settings") != stamp:
        raise RecipeError(f"{folder}: holds something else, or a capture of other settings; choose another folder with --out")
    return True


def _make(settings: SyntheticCaptures, number: int, folder: Path, garments: Mapping[str, Garment]) -> None:
    body = packaged_body()
    home = settings.studio if settings.studio is not None else number % settings.studios
    person = draw_person(
        stream_seed(settings.seed, "synthetic people", number), body, garments, studio_of(home, settings.studios, garments)
    )
    clothed = dressed(person, body, garments)
    scene = Scene(clothed.surfaces)
    write_capture(folder, _photographs(settings, person, clothed, scene), {"studio": person.studio})
    write_truth(folder, _truth(person, clothed, scene, _stamp(settings)))


def _photographs(settings: SyntheticCaptures, person: Person, clothed: Dressed, scene: Scene) -> list[TakenView]:
    rng = numpy_stream(person.seed, "cameras")
    skin = clothed.body.vertices[:SKIN]
    low, high = skin.min(axis=0), skin.max(axis=0)
    cameras = ring_of_cameras(settings.views, settings.size, (low + high) / 2, high[2] - low[2], rng)
    light = _light(rng)
    views = [scene.view(camera, light) for camera in cameras]
    return [TakenView(camera, view.rgb, view.parsing) for camera, view in zip(cameras, views, strict=True)]


def _light(rng: np.random.Generator) -> Light:
    """A lamp before the person, above to the left or right, and a grey wall with a tint."""
    towards = np.array([rng.uniform(-0.7, 0.7), -1.0, rng.uniform(0.3, 0.9)])
    x, y, z = (towards / np.linalg.norm(towards)).tolist()
    red, green, blue = (rng.uniform(0.45, 0.9) + rng.uniform(-0.06, 0.06, 3)).tolist()
    return Light((x, y, z), rng.uniform(0.5, 0.7), (red, green, blue))


def _truth(person: Person, clothed: Dressed, scene: Scene, stamp: Mapping[str, Any]) -> Truth:
    seen = {one.layer: found for one, found in zip(scene.surfaces, scene.visible_faces(all_around()), strict=True)}
    of_shown, seen["body"] = seen["body"], clothed.shown.copy()
    layers = {one.layer: replace(one.mesh, colours=_vertex_colours(one)) for one in clothed.surfaces[1:]}
    seen["body"][clothed.shown] = of_shown
    facts = {
        "seed": person.seed,
        "studio": person.studio,
        "style": person.style,
        "garments": {layer: {"name": name, "dye": asdict(person.dyes[layer])} for layer, name in person.worn.items()},
        "skin": person.skin,
        "underwear": person.underwear,
        "settings": dict(stamp),
    }
    return Truth({"body": clothed.body} | layers, seen, person.shape, person.pose, clothed.translation, facts)


def all_around() -> np.ndarray:
    """Unit vectors (DIRECTIONS, 3) spread evenly (a Fibonacci lattice) between the steepest ones."""
    number = np.arange(DIRECTIONS)
    up = STEEPEST * (1 - 2 * (number + 0.5) / DIRECTIONS)
    angle = number * np.pi * (3 - np.sqrt(5))
    flat = np.sqrt(1 - up**2)
    return np.stack([flat * np.cos(angle), flat * np.sin(angle), up], axis=1)


def _vertex_colours(surface: Surface) -> np.ndarray:
    """float32 (n, 3): the surface's colour at each vertex, of one of the faces that it is in."""
    found = np.full((len(surface.mesh.vertices), 3), 0.5, dtype=np.float32)
    numbers = np.arange(len(surface.mesh.faces))
    for corner in range(3):
        shares = np.tile(np.eye(3)[corner], (len(numbers), 1))
        found[surface.mesh.faces[:, corner]] = surface.colours_at(numbers, shares)[:, :3]
    return found
