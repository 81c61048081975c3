"""A person made of one ellipsoid, 1.7 metres tall, photographed from a ring of cameras: every pixel is computed, none is drawn."""

import json

import numpy as np
from PIL import Image

from fedloom.data.cameras import Camera
from fedloom.data.lenses import PINHOLE, straight_pixels

MIDDLE, RADII = np.array([0.0, 0.0, 0.85]), np.array([0.3, 0.2, 0.85])

HEIGHTS = (0.0, 0.12, 0.85, 1.35, 1.55, 1.71)
"""From which height on there are shoes, lower, upper, skin and hair."""

CLASSES = (5, 4, 3, 1, 2)

LIGHT = np.array([0.6, -0.64, 0.48])

COLOURS = np.array([[250, 250, 250], [220, 180, 150], [40, 30, 20], [200, 30, 40], [30, 60, 180], [60, 60, 60]])


def looking_at(place, target=MIDDLE, focal=70.0, size=(64, 64)):
    """A camera at `place` that looks at `target`, with the world's z upwards in its picture."""
    forward = (target - place) / np.linalg.norm(target - place)
    right = np.cross(forward, [0, 0, 1])
    right /= np.linalg.norm(right)
    R = np.stack([right, np.cross(forward, right), forward])
    width, height = size
    return Camera(np.array([[focal, 0, width / 2], [0, focal, height / 2], [0, 0, 1.0]]), R, -R @ place, width, height)


def ring(count=6, distance=3.0, **how):
    angles = np.arange(count) * 2 * np.pi / count + 0.3
    return [looking_at(np.array([distance * np.sin(a), -distance * np.cos(a), 1.2]), **how) for a in angles]


def photographed(camera, lens=PINHOLE):
    """Colours uint8, mask bool and parsing uint8, as `camera` sees the person through `lens`."""
    rays = camera.rays(straight_pixels(camera, lens, camera.pixel_centres())) / RADII
    start = (camera.centre - MIDDLE) / RADII
    a, b, c = (rays**2).sum(1), rays @ start, start @ start - 1
    root = b * b - a * c
    mask = root > 0
    normals = start + ((-b - np.sqrt(np.maximum(root, 0))) / a)[:, None] * rays
    height = normals[:, 2] * RADII[2] + MIDDLE[2]
    parsing = np.where(mask, np.array(CLASSES)[np.clip(np.searchsorted(HEIGHTS, height) - 1, 0, 4)], 0)
    shape, light = (camera.height, camera.width), np.where(mask, 0.8 + 0.2 * normals @ LIGHT, 1.0)
    return (
        (COLOURS[parsing] * light[:, None]).reshape(*shape, 3).astype(np.uint8),
        mask.reshape(shape),
        parsing.reshape(shape).astype(np.uint8),
    )


def write_pictures(person, cameras, lens=PINHOLE, masks=True, parsing=True):
    """Pictures, masks and parsings as 1.png, 2.png, ... in three subfolders; the names."""
    for number, camera in enumerate(cameras, start=1):
        kept = zip(("images", "masks", "parsing"), photographed(camera, lens), (True, masks, parsing), strict=True)
        for place, pixels, wanted in kept:
            if wanted:
                (person / place).mkdir(parents=True, exist_ok=True)
                Image.fromarray(pixels * np.uint8(255) if pixels.dtype == bool else pixels).save(person / place / f"{number}.png")
    return [f"{number}.png" for number in range(1, len(cameras) + 1)]


def write_person(person, cameras=None, seen_by=None, masks=True, parsing=True):
    """A capture in the own layout. `seen_by`: the cameras that really took the pictures."""
    cameras = cameras or ring()
    names = write_pictures(person, seen_by or cameras, masks=masks, parsing=parsing)
    keys = {"image": "images", **({"mask": "masks"} if masks else {}), **({"parsing": "parsing"} if parsing else {})}
    views = [{key: f"{place}/{name}" for key, place in keys.items()} for name in names]
    content = {"views": [{**view, "camera": camera.plain()} for view, camera in zip(views, cameras, strict=True)]}
    (person / "cameras.json").write_text(json.dumps(content))
    return person
