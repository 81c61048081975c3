"""A dressed person made of capsules, in layers, and coloured photographs of it: nobody's likeness."""

import numpy as np
from skimage.measure import marching_cubes

from fedloom.data.cameras import Camera
from fedloom.humans.mesh import LAYERS, Mesh
from fedloom.humans.rays import RayScene
from fedloom.humans.texture import Photograph

BONES = [  # from, to, radius; metres
    ((0.0, 0.0, 1.55), (0.0, -0.01, 1.62), 0.105),
    ((0.0, 0.0, 0.98), (0.0, 0.0, 1.32), 0.145),
    ((0.17, 0.0, 1.36), (0.42, 0.0, 1.0), 0.05),
    ((-0.17, 0.0, 1.36), (-0.42, 0.0, 1.0), 0.05),
    ((0.0, 0.0, 1.36), (0.17, 0.0, 1.36), 0.055),
    ((0.0, 0.0, 1.36), (-0.17, 0.0, 1.36), 0.055),
    ((0.0, 0.0, 1.3), (0.0, 0.0, 1.5), 0.055),
    ((0.09, 0.0, 0.9), (0.12, 0.0, 0.08), 0.075),
    ((-0.09, 0.0, 0.9), (-0.12, 0.0, 0.08), 0.075),
    ((0.12, 0.0, 0.06), (0.12, -0.12, 0.05), 0.05),
    ((-0.12, 0.0, 0.06), (-0.12, -0.12, 0.05), 0.05),
]
THICKNESS = {"body": 0.0, "hair": 0.02, "upper": 0.025, "lower": 0.018, "shoes": 0.016}


def layers(spacing=0.02):
    """name -> Mesh with its true colours: the body whole, the others open where they end."""
    whole = {thickness: _surface(thickness, spacing) for thickness in THICKNESS.values()}
    return {name: _cut(whole[THICKNESS[name]], name) for name in LAYERS}


def colours(points, name):
    """What `points` (n, 3) of a layer look like: float32 (n, 3)."""
    x, y, z = points.T
    front = (y < 0).astype(float)
    stripes = 0.5 + 0.5 * np.sin(z * 60)
    found = {
        "body": [0.85 + 0 * x, 0.65 + 0 * x, 0.55 + 0 * x],
        "hair": [0.25 + 0.1 * stripes, 0.15 + 0 * x, 0.1 + 0 * x],
        "upper": [0.75 - 0.5 * stripes, 0.2 + 0.3 * front, 0.3 + 0.4 * stripes],
        "lower": [0.15 + 0 * x, 0.2 + 0.1 * np.sin(x * 80), 0.45 + 0 * x],
        "shoes": [0.2 + 0 * x, 0.2 + 0 * x, 0.2 + 0 * x],
    }[name]
    return np.stack(found, axis=1).astype(np.float32)


def camera(turn, size=256, distance=3.2, height=0.9):
    """`turn` in degrees about the person; 0 is in front, 90 at the person's left."""
    angle = np.radians(turn)
    centre = np.array([distance * np.sin(angle), -distance * np.cos(angle), height])
    forward = np.array([-np.sin(angle), np.cos(angle), 0.0])
    R = np.stack([np.cross(forward, [0, 0, 1.0]), [0, 0, -1.0], forward])
    K = np.array([[1.55 * size, 0, size / 2], [0, 1.55 * size, size / 2], [0, 0, 1]])
    return Camera(K, R, -R @ centre, size, size)


def pictured(meshes, at):
    """uint8 (height, width, 3) on white without any shading, and the parsing uint8 (height, width)."""
    directions = at.rays(at.pixel_centres())
    hits = RayScene([meshes[name] for name in LAYERS]).first(np.broadcast_to(at.centre, directions.shape), directions)
    points = at.centre + hits.distance[:, None] * directions
    pixels = np.ones((len(directions), 3), dtype=np.float32)
    for number, name in enumerate(LAYERS):
        pixels[hits.mesh == number] = colours(points[hits.mesh == number], name)
    return np.rint(pixels * 255).astype(np.uint8).reshape(at.height, at.width, 3), (hits.mesh + 1).astype(np.uint8).reshape(
        at.height, at.width
    )


def photographs(meshes, turns=(0, 60, 120, 180, 240, 300), size=256):
    """What a person's cameras saw."""
    return [Photograph(at, *pictured(meshes, at)) for at in (camera(turn, size) for turn in turns)]


def _surface(thickness, spacing):
    axes = [np.arange(low, high, spacing) for low, high in ((-0.6, 0.6), (-0.4, 0.4), (-0.1, 1.9))]
    grid = np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1)
    distance = np.min([_capsule(grid, *bone) for bone in BONES], axis=0) - thickness
    vertices, faces, _, _ = marching_cubes(distance, 0.0, spacing=(spacing,) * 3)
    return Mesh(vertices.astype(np.float64) + [axis[0] for axis in axes], faces.astype(np.int64))


def _capsule(points, start, end, radius):
    start, along = np.array(start), np.subtract(end, start)
    at = np.clip((points - start) @ along / (along @ along), 0, 1)
    return np.linalg.norm(points - start - at[..., None] * along, axis=-1) - radius


def _cut(mesh, name):
    x, y, z = mesh.vertices[mesh.faces].mean(axis=1).T
    kept = {
        "body": z > -1,
        "hair": (z > 1.6) & ((y > -0.04) | (z > 1.68)),
        "upper": (z > 0.88) & (z < 1.43) & (abs(x) < 0.36),
        "lower": (z > 0.12) & (z < 0.96) & (abs(x) < 0.26),
        "shoes": z < 0.12,
    }[name]
    used, faces = np.unique(mesh.faces[kept], return_inverse=True)
    vertices = mesh.vertices[used]
    return Mesh(vertices, faces.reshape(-1, 3), colours(vertices, name))
