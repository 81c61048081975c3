"""Synthetic people: who they are, what they wear and how they stand, all drawn from one seed; and their dressed surfaces."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import torch

from fedloom.errors import MissingExtraError
from fedloom.humans.body.linear import LinearBody
from fedloom.humans.body.packaged import EYES, SKIN
from fedloom.humans.body.skinning import skinned
from fedloom.humans.garments import Garment, bound, garment_skinning, uncovered
from fedloom.humans.mesh import Mesh
from fedloom.humans.poses import draw_pose
from fedloom.humans.render import Surface
from fedloom.streams import numpy_stream

WORN = ("hair", "upper", "lower", "shoes")
"""Layers that are worn over the body."""

MEAN_HEIGHT, HEIGHT_SPREAD = 1.70, 0.09
"""Metres: of all studios together."""
STUDIO_HEIGHT_SPREAD = 0.045
"""Metres: of the people of one studio."""

TONES = np.array([[0.93, 0.76, 0.66], [0.87, 0.68, 0.55], [0.76, 0.56, 0.42], [0.6, 0.42, 0.3], [0.42, 0.28, 0.2]])
"""Tones of skin from light to dark; a person's lies between two of them."""
UNDERWEAR = np.array([[0.9, 0.9, 0.88], [0.2, 0.2, 0.22], [0.35, 0.4, 0.5], [0.75, 0.72, 0.68]])
"""What the body wears under its clothes: no picture shows a bare body."""
WHITE, IRIS = np.array([0.92, 0.92, 0.9]), np.array([0.25, 0.18, 0.12])


OVER = (("shoes", "lower"), ("lower", "upper"), ("upper", "hair"))
"""Which layer lies over which, from inside to outside."""
GAP, REACH, NEIGHBOURS, SLOPE = 0.005, 0.04, 24, 0.25
"""Metres between two layers, metres from which on an inner layer does not matter, how many of its vertices are looked at, and how much
lower an outer layer may be for each metre beside them: faces of trousers are 4 cm long, and their middles must not cut through a shoe."""


@dataclass(frozen=True)
class Dye:
    """How the colours of a texture are changed: hue by a part of the circle, saturation and brightness by factors."""

    hue: float
    saturation: float
    brightness: float


@dataclass(frozen=True, eq=False)
class Person:
    """`shape` (S,) and `pose` (J, 3) of the body; `worn` and `dyes` by layer; `skin` and `underwear` are colours from 0 to 1."""

    seed: int
    studio: str
    style: str
    shape: np.ndarray = field(repr=False)
    pose: np.ndarray = field(repr=False)
    worn: Mapping[str, str]
    dyes: Mapping[str, Dye] = field(repr=False)
    skin: tuple[float, float, float]
    underwear: tuple[float, float, float]


@dataclass(frozen=True)
class Studio:
    """A member of a federation, whose people are like each other: their heights in metres, and the names of the garments in its stock."""

    name: str
    height: float
    height_spread: float
    stock: tuple[str, ...]


@dataclass(frozen=True, eq=False)
class Dressed:
    """A person in their pose, standing on z = 0. `body` is all of the skin and the eyes; `surfaces` are what is worn, and of the body what
    clothes do not hide, the faces `shown` (m,)."""

    body: Mesh = field(repr=False)
    translation: np.ndarray = field(repr=False)
    surfaces: tuple[Surface, ...] = field(repr=False)
    shown: np.ndarray = field(repr=False)


def studio_of(number: int, of: int, wardrobe: Mapping[str, Garment]) -> Studio:
    """Studio `number`, from 0, of `of`.

    With several, people of each are 8 cm taller on average than those of the one before, and each has half of the garments of every layer.
    """
    if of == 1:
        return Studio("studio-0", MEAN_HEIGHT, HEIGHT_SPREAD, tuple(wardrobe))
    by_layer = {layer: [name for name, garment in wardrobe.items() if garment.layer == layer] for layer in WORN}
    stock = [name for names in by_layer.values() for place, name in enumerate(names) if _holds(number, of, place, len(names))]
    return Studio(f"studio-{number}", MEAN_HEIGHT + 0.08 * (number - (of - 1) / 2), STUDIO_HEIGHT_SPREAD, tuple(stock))


def _holds(number: int, of: int, place: int, garments: int) -> bool:
    """Whether the garment at `place` is in the half of a layer's `garments` that studio `number` has; the halves begin evenly apart."""
    return (place - number * garments // of) % garments < (garments + 1) // 2


def draw_person(seed: int, body: LinearBody, wardrobe: Mapping[str, Garment], studio: Studio) -> Person:
    """The person of this seed in `studio`. The same arguments give the same person."""
    rng = numpy_stream(seed, "person", studio.name)
    shape = rng.standard_normal(body.shapes).clip(-2.2, 2.2)
    shape = with_height(body, shape, rng.normal(studio.height, studio.height_spread))
    style, pose = draw_pose(body.joint_names, rng)
    worn = {layer: str(rng.choice([name for name in studio.stock if wardrobe[name].layer == layer])) for layer in WORN}
    dyes = {layer: _dye(layer, rng) for layer in WORN}
    tone, between = int(rng.integers(len(TONES) - 1)), rng.random()
    skin = TONES[tone] * (1 - between) + TONES[tone + 1] * between
    return Person(seed, studio.name, style, shape, pose, worn, dyes, _plain(skin), _plain(UNDERWEAR[rng.integers(len(UNDERWEAR))]))


def with_height(body: LinearBody, shape: np.ndarray, height: float) -> np.ndarray:
    """The person nearest to `shape` (S,) who is `height` metres tall.

    Height is linear in shape, h = h0 + g s: the condition of a standard normal draw s on its height is s + g (height - h) / |g|^2.
    """
    top = int(body.mean[:SKIN, 2].argmax())
    sole = int(body.mean[:SKIN, 2].argmin())
    growth = (body.components[:, top, 2] - body.components[:, sole, 2]).numpy().astype(np.float64)
    now = float(body.mean[top, 2] - body.mean[sole, 2]) + growth @ shape
    found: np.ndarray = shape + growth * (height - now) / (growth @ growth)
    return found


def _dye(layer: str, rng: np.random.Generator) -> Dye:
    hue = {"hair": 0.02, "upper": 0.5, "lower": 0.12, "shoes": 0.08}[layer]
    return Dye(float(rng.uniform(-hue, hue)), float(rng.uniform(0.6, 1.2)), float(rng.uniform(0.75, 1.5)))


def _plain(colour: np.ndarray) -> tuple[float, float, float]:
    red, green, blue = (round(float(value), 4) for value in colour)
    return red, green, blue


def dressed(person: Person, body: LinearBody, wardrobe: Mapping[str, Garment]) -> Dressed:
    """The person's layers in the person's pose."""
    garments = [wardrobe[person.worn[layer]] for layer in WORN]
    shape, pose = torch.from_numpy(person.shape).float(), torch.from_numpy(person.pose).float()
    transforms = body.transforms(shape, pose, torch.zeros(3))
    canonical = body.canonical(shape)
    posed = skinned(canonical, body.skinning, transforms).numpy().astype(np.float64)
    undressed = canonical.numpy().astype(np.float64)
    fitted = layered([bound(garment, undressed) for garment in garments], garments, Mesh(undressed[:SKIN], skin_faces(body)))
    weights = [garment_skinning(garment, body.skinning.numpy().astype(np.float64)) for garment in garments]
    worn = [
        skinned(torch.from_numpy(one).float(), torch.from_numpy(own).float(), transforms).numpy().astype(np.float64)
        for one, own in zip(fitted, weights, strict=True)
    ]
    ground = np.array([0.0, 0.0, -min(float(one[:, 2].min()) for one in (posed[:SKIN], *worn))])
    skin = Mesh(posed + ground, body.faces, body_colours(person, body))
    shown = uncovered(body.faces, garments)
    surfaces = [Surface("body", replace(skin, faces=body.faces[shown]))]
    for garment, vertices in zip(garments, worn, strict=True):
        texture = dyed(garment.texture, person.dyes[garment.layer])
        surfaces.append(Surface(garment.layer, Mesh(vertices + ground, garment.faces), texture, garment.uvs, garment.face_uvs))
    return Dressed(skin, ground, tuple(surfaces), shown)


def layered(vertices: Sequence[np.ndarray], garments: Sequence[Garment], skin: Mesh) -> list[np.ndarray]:
    """The garments' vertices (n, 3) on the canonical `skin`, moved outwards where a garment of another suit would cut through them.

    Trousers go over shoes, an upper garment over a lower one, hair over all. Heights are measured from the nearest vertex of the skin along
    its normal: next to an inner vertex of height h at a distance of d, an outer one is at least GAP + h - SLOPE d high.
    """
    tree = _tree(skin.vertices)
    normals, found = skin.normals, {garment.layer: own for garment, own in zip(garments, vertices, strict=True)}
    suits = {garment.layer: garment.name.partition(".")[0] for garment in garments}
    for inner, outer in OVER:
        if suits[inner] == suits[outer]:
            continue
        below, above = ((own, *_heights(own, tree, skin.vertices, normals)) for own in (found[inner], found[outer]))
        apart, near = _tree(below[0]).query(above[0], k=NEIGHBOURS)
        least = (GAP + below[1][near] - SLOPE * apart).max(axis=1)
        short = np.where(apart[:, 0] < REACH, np.maximum(least - above[1], 0.0), 0.0)
        found[outer] = above[0] + short[:, None] * above[2]
    return [found[garment.layer] for garment in garments]


def _heights(vertices: np.ndarray, tree: Any, skin: np.ndarray, normals: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """How high `vertices` (n, 3) lie over the nearest vertex of the skin, (n,) in metres, and its normal, (n, 3)."""
    nearest = tree.query(vertices)[1]
    return np.einsum("nc,nc->n", vertices - skin[nearest], normals[nearest]), normals[nearest]


def _tree(points: np.ndarray) -> Any:
    try:
        from scipy.spatial import cKDTree
    except ImportError:
        raise MissingExtraError("SciPy", "humans", "dressing synthetic people") from None
    return cKDTree(points)


def skin_faces(body: LinearBody) -> np.ndarray:
    """The faces of the body without the eyes."""
    found: np.ndarray = body.faces[(body.faces < SKIN).all(axis=1)]
    return found


def body_colours(person: Person, body: LinearBody) -> np.ndarray:
    """float32 (V, 3): skin, underwear over trunk and hips, and eyes."""
    colours = np.tile(np.array(person.skin), (len(body.mean), 1))
    colours[worn_under(body)] = person.underwear
    eyes = np.array(EYES)
    colours[eyes] = WHITE
    front = body.mean[eyes, 1].numpy()
    colours[eyes[front < np.quantile(front, 0.25)]] = IRIS
    return colours.astype(np.float32)


def worn_under(body: LinearBody) -> np.ndarray:
    """Which vertices underwear covers, bool (V,): the trunk below the collar, and the upper third of the thighs."""
    parts = [body.part_names[part] for part in body.parts]
    height = body.mean[:, 2].numpy()
    at = {joint: float(body.mean_joints[body.joint_names.index(joint), 2]) for joint in ("left_clavicle", "left_thigh", "left_calf")}
    trunk = np.array([part == "torso" for part in parts]) & (height < at["left_clavicle"] - 0.02)
    thighs = np.array([part.endswith("thigh") for part in parts]) & (height > at["left_thigh"] - (at["left_thigh"] - at["left_calf"]) / 3)
    return trunk | thighs


def dyed(texture: np.ndarray, dye: Dye) -> np.ndarray:
    """`texture` uint8 (height, width, 4) in other colours; its alpha stays. Raises MissingExtraError without scikit-image."""
    try:
        from skimage.color import hsv2rgb, rgb2hsv
    except ImportError:
        raise MissingExtraError("scikit-image", "humans", "dyeing the clothes of synthetic people") from None
    hsv = rgb2hsv(texture[:, :, :3])
    hsv[:, :, 0] = (hsv[:, :, 0] + dye.hue) % 1.0
    hsv[:, :, 1] = np.clip(hsv[:, :, 1] * dye.saturation, 0, 1)
    hsv[:, :, 2] = np.clip(hsv[:, :, 2] * dye.brightness, 0, 1)
    return np.concatenate([(hsv2rgb(hsv) * 255 + 0.5).astype(np.uint8), texture[:, :, 3:]], axis=2)
