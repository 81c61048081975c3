"""A wardrobe for tests, cut out of the packaged body: no download."""

from functools import lru_cache

import numpy as np
import pytest

from fedloom.humans import synthetic
from fedloom.humans.body.packaged import SKIN, packaged_body
from fedloom.humans.garments import Garment
from fedloom.humans.mesh import Mesh
from fedloom.humans.synthetic import SyntheticCaptures, make_captures

PARTS = {
    "hair": ("head",),
    "upper": ("torso", "left upper arm", "right upper arm"),
    "lower": ("left thigh", "right thigh", "left calf", "right calf"),
    "shoes": ("left foot", "right foot"),
}
COLOURS = {"hair": (60, 40, 20), "upper": (200, 30, 30), "lower": (30, 30, 200), "shoes": (20, 20, 20)}


@lru_cache(maxsize=1)
def made_wardrobe() -> dict[str, Garment]:
    """Two garments of each layer, 12 and 15 mm over the skin."""
    return {f"{name}.{layer}": _garment(name, layer, thick) for layer in PARTS for name, thick in (("thin", 0.012), ("thick", 0.015))}


def made_people(folder):
    """One synthetic person in that wardrobe, six views of 48 pixels: the capture's folder, in `folder`."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(synthetic, "wardrobe", made_wardrobe)
        make_captures(SyntheticCaptures(people=1, views=6, size=48, seed=3), folder)
    return folder / "person-0000"


def _garment(name, layer, thick):
    body = packaged_body()
    mean = body.mean.numpy().astype(np.float64)
    normals = Mesh(mean[:SKIN], body.faces[(body.faces < SKIN).all(axis=1)]).normals
    chosen = np.isin(body.parts, [body.part_names.index(part) for part in PARTS[layer]])
    chosen[SKIN:] = False
    if layer == "hair":
        chosen &= (mean[:, 1] > mean[body.parts == 0, 1].mean()) | (mean[:, 2] > mean[:SKIN, 2].max() - 0.05)
    faces = body.faces[chosen[body.faces].all(axis=1)]
    used, numbers = np.unique(faces, return_inverse=True)
    count = len(used)
    return Garment(
        name=f"{name}.{layer}",
        layer=layer,
        references=np.stack([used, used, used], axis=1),
        weights=np.tile([0.5, 0.25, 0.25], (count, 1)),
        offsets=thick * normals[used],
        scales=None,
        faces=numbers.reshape(-1, 3),
        uvs=np.full((1, 2), 0.5),
        face_uvs=np.zeros((len(faces), 3), dtype=np.int64),
        texture=np.tile(np.array([*COLOURS[layer], 255], dtype=np.uint8), (4, 4, 1)),
        hides=np.isin(np.arange(len(mean)), used),
    )
