"""Cameras and captures for tests."""

import json

import numpy as np
from PIL import Image

from fedloom.data.cameras import Camera


def camera(focal=1.0, size=(4, 3), R=None, t=(0.0, 0.0, 2.0)):
    """A camera two metres in front of the origin, looking along z; its axis goes through the middle of the picture."""
    width, height = size
    K = np.array([[focal, 0, width / 2], [0, focal, height / 2], [0, 0, 1]], dtype=float)
    return Camera(K, np.eye(3) if R is None else np.asarray(R, dtype=float), np.asarray(t, dtype=float), width, height)


def around(views, size=48, distance=1.5, centre=(0.0, 0.0, 0.0), height=0.3):
    """`views` cameras on a ring around `centre`, which look at it, with the world's z up; every second one stands higher."""
    found = []
    for number in range(views):
        angle = 2 * np.pi * number / views
        place = np.array([np.cos(angle) * distance, np.sin(angle) * distance, height * (number % 2)]) + centre
        forward = (np.array(centre) - place) / np.linalg.norm(np.array(centre) - place)
        right = np.cross(forward, (0, 0, 1.0))
        right /= np.linalg.norm(right)
        R = np.stack([right, np.cross(forward, right), forward])
        K = np.array([[1.3 * size, 0, size / 2], [0, 1.3 * size, size / 2], [0, 0, 1]])
        found.append(Camera(K, R, -R @ place, size, size))
    return found


def ball(camera, radius=0.4, centre=(0.0, 0.0, 0.0)):
    """(rgb uint8 (H, W, 3), mask bool (H, W), parsing uint8 (H, W)) of a ball: the upper half red and of class 3, the lower blue and 4."""
    rays, towards = camera.rays(camera.pixel_centres()), np.array(centre) - camera.centre
    along = rays @ towards
    inside = along**2 - towards @ towards + radius**2
    mask = (inside > 0).reshape(camera.height, camera.width)
    points = camera.centre + (along - np.sqrt(np.maximum(inside, 0)))[:, None] * rays
    upper = (points[:, 2] > centre[2]).reshape(mask.shape)
    parsing = np.where(mask, np.where(upper, 3, 4), 0).astype(np.uint8)
    return np.array([[0, 0, 0], [200, 40, 40], [40, 40, 200]], dtype=np.uint8)[np.maximum(parsing.astype(int) - 2, 0)], mask, parsing


def write_capture(folder, cameras, show=ball):
    """A person's folder with what `show` gives for each of `cameras`."""
    folder.mkdir(parents=True)
    views = []
    for number, one in enumerate(cameras):
        names = {key: f"{key}{number}.png" for key in ("image", "mask", "parsing")}
        rgb, mask, parsing = show(one)
        for name, pixels in zip(names.values(), (rgb, mask.astype(np.uint8) * 255, parsing), strict=True):
            Image.fromarray(pixels).save(folder / name)
        views.append(names | {"camera": one.plain()})
    (folder / "cameras.json").write_text(json.dumps({"views": views}))
    return folder
