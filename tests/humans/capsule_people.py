"""A person made of capsules, painted with hard boundaries, and cameras around it: everything about it is known exactly."""

from functools import cache

import numpy as np

from fedloom.data.cameras import Camera
from fedloom.humans.mesh import LAYERS
from fedloom.humans.rays import RayScene
from fedloom.humans.surface import isosurface

BODY, HAIR, UPPER, LOWER, SHOES = range(len(LAYERS))

LIMBS = (
    ((0, 0, 1.58), (0, 0, 1.64), 0.11),  # head
    ((0, 0, 1.40), (0, 0, 1.50), 0.06),  # neck
    ((0, 0, 0.98), (0, 0, 1.32), 0.15),  # torso
    *(((side * 0.17, 0, 1.38), (side * 0.42, 0, 1.12), 0.055) for side in (1, -1)),  # upper arms
    *(((side * 0.42, 0, 1.12), (side * 0.52, -0.08, 0.90), 0.045) for side in (1, -1)),  # forearms
    *(((side * 0.09, 0, 0.95), (side * 0.13, 0, 0.10), 0.085) for side in (1, -1)),  # legs
    *(((side * 0.13, 0.03, 0.07), (side * 0.13, -0.13, 0.07), 0.06) for side in (1, -1)),  # feet
)

BOX = np.array([[-0.7, -0.3, -0.05], [0.7, 0.3, 1.85]])


def capsule(points, start, end, radius):
    """The signed distance of a capsule."""
    start, axis = np.asarray(start, dtype=float), np.subtract(end, start, dtype=float)
    along = np.clip((points - start) @ axis / (axis @ axis), 0, 1)
    return np.linalg.norm(points - start - along[:, None] * axis, axis=1) - radius


def person(points):
    """The signed distance of the person."""
    return np.min([capsule(points, *limb) for limb in LIMBS], axis=0)


def clothes(points):
    """The layer that a point of the surface belongs to."""
    x, y, z = points.T
    found = np.full(len(points), BODY)
    found[(z < 1.39) & (z > 0.98) & (np.abs(x) < 0.36)] = UPPER
    found[(z <= 0.98) & (z > 0.16) & (np.abs(x) < 0.3)] = LOWER
    found[z <= 0.16] = SHOES
    found[(z > 1.6) & (y > -0.05 + (1.68 - z))] = HAIR
    return found


def looking_at(target, position, focal, size):
    """A camera at `position`, upright, that looks at `target`."""
    forward = np.subtract(target, position) / np.linalg.norm(np.subtract(target, position))
    right = np.cross(forward, [0, 0, 1])
    right /= np.linalg.norm(right)
    R = np.stack([right, np.cross(forward, right), forward])
    width, height = size
    K = np.array([[focal, 0, width / 2], [0, focal, height / 2], [0, 0, 1]], dtype=float)
    return Camera(K, R, -R @ np.asarray(position, dtype=float), width, height)


def ring(views=8, size=(160, 256), distance=2.8, height=1.1, target=(0, 0, 0.9)):
    """Cameras around the person."""
    angles = 2 * np.pi * np.arange(views) / views
    positions = np.stack([distance * np.cos(angles), distance * np.sin(angles), np.full(views, height)], axis=1)
    return [looking_at(target, position, 1.3 * size[1], size) for position in positions]


@cache
def person_mesh(voxel=0.01):
    return isosurface(person, BOX, voxel)


def parsing_of(cameras):
    """The parsing of the person in each camera's picture, as numbers of `PARSING`: exact but for the mesh that it is cast at."""
    mesh = person_mesh()
    scene = RayScene([mesh])
    return [_parsing(scene, mesh, camera) for camera in cameras]


def _parsing(scene, mesh, camera):
    directions = camera.rays(camera.pixel_centres())
    met = scene.first(np.broadcast_to(camera.centre, directions.shape), directions)
    found, hit = np.zeros(len(directions), dtype=np.int64), met.mesh >= 0
    found[hit] = clothes(np.einsum("nc,ncd->nd", met.weights[hit], mesh.vertices[mesh.faces[met.face[hit]]])) + 1
    return found.reshape(camera.height, camera.width)


def with_wrong_pixels(parsing, share, rng):
    """`parsing` with a share of the person's pixels at random labels."""
    wrong = (rng.random(parsing.shape) < share) & (parsing > 0)
    return np.where(wrong, rng.integers(0, 6, parsing.shape), parsing)


def with_wrong_patches(parsing, share, rng):
    """`parsing` with round patches at random labels until they cover a share of the person's pixels."""
    found, covered = parsing.copy(), np.zeros(parsing.shape, dtype=bool)
    rows, columns = np.indices(parsing.shape)
    spots = np.argwhere(parsing > 0)
    while covered.sum() < share * len(spots):
        row, column = spots[rng.integers(len(spots))]
        patch = ((rows - row) ** 2 + (columns - column) ** 2 < rng.uniform(2, 7) ** 2) & (parsing > 0)
        found[patch] = rng.integers(0, 6)
        covered |= patch
    return found
