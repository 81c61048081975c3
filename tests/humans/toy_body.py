"""A body of rounded limbs with 16 joints and 3 numbers of shape, and clothes made by offsetting its faces."""

from functools import cached_property, lru_cache

import numpy as np
import torch
from skimage.measure import marching_cubes

from fedloom.humans.mesh import LAYERS, Mesh

DOWN = np.deg2rad(40.0)
"""How far the arms point down from the horizontal in the canonical pose."""
ALONG = np.array([np.cos(DOWN), 0.0, -np.sin(DOWN)])
SHOULDER = np.array([0.17, 0.0, 1.40])
CENTRAL = [("pelvis", -1, (0, 0, 0.95)), ("spine", 0, (0, 0, 1.08)), ("chest", 1, (0, 0, 1.25)), ("head", 2, (0, 0, 1.52))]
LEFT = [
    ("upper arm", 2, SHOULDER),
    ("forearm", 4, SHOULDER + 0.27 * ALONG),
    ("hand", 5, SHOULDER + 0.51 * ALONG),
    ("thigh", 0, (0.095, 0, 0.90)),
    ("shin", 7, (0.10, 0, 0.49)),
    ("foot", 8, (0.10, 0.0, 0.08)),
]
MIRROR = np.array([-1.0, 1.0, 1.0])
PARTS = ("head", "torso", "left arm", "right arm", "left leg", "right leg")
SPACING = 0.028


def _joints():
    right = [(f"right {name}", parent if parent in (0, 2) else parent + 6, MIRROR * at) for name, parent, at in LEFT]
    return [*CENTRAL, *((f"left {name}", parent, at) for name, parent, at in LEFT), *right]


def _bones():
    """(joint, from, to, radius); a flat shape is two of them side by side."""
    found = [(0, (-0.07, 0, 0.95), (0.07, 0, 0.95), 0.105), (1, (-0.05, 0, 1.08), (0.05, 0, 1.12), 0.10)]
    found += [(2, (-0.09, 0, 1.28), (0.09, 0, 1.28), 0.105), (2, (0, 0.01, 1.4), (0, 0, 1.5), 0.055)]
    found += [(3, (0, -0.01, 1.60), (0, 0.01, 1.65), 0.088), (3, (0, -0.09, 1.60), (0, -0.1, 1.60), 0.022)]
    hand = SHOULDER + 0.51 * ALONG
    left = [(4, SHOULDER - 0.04 * ALONG, SHOULDER + 0.27 * ALONG, 0.05), (5, SHOULDER + 0.27 * ALONG, hand, 0.042)]
    left += [(6, hand, hand + 0.14 * ALONG, 0.036), (7, (0.095, 0, 0.88), (0.10, 0, 0.49), 0.078)]
    left += [(8, (0.10, 0, 0.49), (0.10, 0, 0.1), 0.055), (9, (0.10, 0.02, 0.045), (0.11, -0.14, 0.035), 0.042)]
    return found + left + [(joint + 6, MIRROR * a, MIRROR * b, radius) for joint, a, b, radius in left]


def _distances(points):
    """(bones, n): how far each point lies from the surface of each bone."""
    found = []
    for _, a, b, radius in _bones():
        a, b = np.asarray(a, float), np.asarray(b, float)
        along = np.clip((points - a) @ (b - a) / ((b - a) @ (b - a)), 0, 1)
        found.append(np.linalg.norm(points - a - along[:, None] * (b - a), axis=1) - radius)
    return np.array(found)


def _template():
    low, high = np.array([-0.80, -0.24, -0.06]), np.array([0.80, 0.20, 1.80])
    axes = [np.arange(a, b, SPACING) for a, b in zip(low, high, strict=True)]
    grid = np.stack(np.meshgrid(*axes, indexing="ij"), -1)
    near = _distances(grid.reshape(-1, 3))
    smooth = -0.02 * np.log(np.exp(-near / 0.02).sum(0)).reshape(grid.shape[:3])
    vertices, faces, _, _ = marching_cubes(smooth, 0.0)
    vertices = _diffused(low + vertices * SPACING, faces, 2)  # more even triangles
    mesh = Mesh(vertices.astype(float), faces.astype(np.int64))
    outwards = np.einsum("ij,ij->", mesh.vertices[mesh.faces[:, 0]], mesh.face_normals) > 0
    return mesh if outwards else Mesh(mesh.vertices, mesh.faces[:, ::-1].copy())


def _diffused(values, faces, steps):
    edges = np.concatenate([faces[:, [0, 1]], faces[:, [1, 2]], faces[:, [2, 0]]])
    degree = np.bincount(edges[:, 0], minlength=len(values))[:, None]
    for _ in range(steps):
        around = np.zeros_like(values)
        np.add.at(around, edges[:, 0], values[edges[:, 1]])
        values = 0.5 * values + 0.5 * around / degree
    return values


class ToyBody:
    """A `BodyModel`. Its numbers of shape: taller, wider, longer limbs."""

    shapes = 3
    part_names = PARTS

    def __init__(self):
        mesh, joints = _template(), _joints()
        self.faces = mesh.faces
        self.joint_names, self.parents = [name for name, _, _ in joints], [parent for _, parent, _ in joints]
        places = np.array([at for _, _, at in joints], dtype=float)
        nearest = np.array([bone[0] for bone in _bones()])[_distances(mesh.vertices).argmin(0)]
        self.parts = np.array([1, 1, 1, 0] + [2] * 3 + [4] * 3 + [3] * 3 + [5] * 3)[nearest]
        self.skinning = torch.tensor(_diffused(np.eye(16)[nearest], mesh.faces, 6))
        self._vertices, self._joints = torch.tensor(mesh.vertices), torch.tensor(places)
        self._basis, self._joint_basis = torch.tensor(_basis(mesh.vertices, mesh.normals)), torch.tensor(_basis(places, 0 * places))

    def canonical(self, shape):
        return self._vertices + torch.einsum("s,svd->vd", shape, self._basis)

    def transforms(self, shape, pose, translation):
        joints = self._joints + torch.einsum("s,sjd->jd", shape, self._joint_basis)
        rotations = torch.linalg.matrix_exp(_skew(pose))
        found = []
        for joint, parent in enumerate(self.parents):
            own = _affine(rotations[joint], joints[joint] - rotations[joint] @ joints[joint])
            found.append(own if parent < 0 else found[parent] @ own)
        return _affine(torch.eye(3, dtype=pose.dtype), translation) @ torch.stack(found)

    def posed(self, shape, pose, translation):
        blended = torch.einsum("vj,jab->vab", self.skinning, self.transforms(shape, pose, translation))
        return torch.einsum("vab,vb->va", blended[:, :3, :3], self.canonical(shape)) + blended[:, :3, 3]

    @cached_property
    def zeros(self):
        return torch.zeros(3, dtype=torch.float64), torch.zeros(16, 3, dtype=torch.float64), torch.zeros(3, dtype=torch.float64)


def _basis(points, normals):
    limbs = np.stack([0.03 * np.sign(points[:, 0]) * np.maximum(abs(points[:, 0]) - 0.17, 0) / 0.4, 0 * points[:, 0], points[:, 2]], 1)
    limbs[:, 2] = 0.05 * np.minimum(points[:, 2] - 0.95, 0)
    return np.stack([0.035 * points, 0.012 * normals, limbs])


def _skew(pose):
    x, y, z = pose.unbind(-1)
    zero = torch.zeros_like(x)
    return torch.stack([zero, -z, y, z, zero, -x, -y, x, zero], -1).reshape(-1, 3, 3)


def _affine(rotation, translation):
    top = torch.cat([rotation, translation[:, None]], 1)
    return torch.cat([top, torch.tensor([[0.0, 0, 0, 1]], dtype=top.dtype)])


@lru_cache(maxsize=1)
def toy_body():
    return ToyBody()


def pose_of(body, **rotations):
    """A pose in which the joints that are named, with _ for the space, are turned: x=..., as three numbers each."""
    pose = torch.zeros(len(body.joint_names), 3, dtype=torch.float64)
    for name, turn in rotations.items():
        pose[body.joint_names.index(name.replace("_", " "))] = torch.tensor(turn, dtype=torch.float64)
    return pose


ARMS_DOWN = {"left_upper_arm": (0, 0.62, 0), "right_upper_arm": (0, -0.62, 0)}
ARMS_UP = {"left_upper_arm": (0, -1.3, 0), "right_upper_arm": (0, 1.3, 0)}


def clothes_of(body):
    """(V,): the layer that covers each vertex of the body: a shirt with sleeves to the forearms, trousers, shoes; no hair."""
    joint = body.skinning.numpy().argmax(1)
    covered = np.zeros(len(joint), dtype=np.int64)
    covered[np.isin(joint, [1, 2, 4, 10])] = LAYERS.index("upper")
    covered[np.isin(joint, [0, 7, 8, 13, 14])] = LAYERS.index("lower")
    covered[np.isin(joint, [9, 15])] = LAYERS.index("shoes")
    high = body.canonical(body.zeros[0]).numpy()[:, 2]
    covered[(joint == 2) & (high > 1.44)] = LAYERS.index("body")
    return covered


THICKNESS = {"body": 0.0, "hair": 0.02, "upper": 0.013, "lower": 0.016, "shoes": 0.009}


def surface_of(body, shape, pose, translation):
    """The dressed person as one closed surface, and the layer of each of its vertices."""
    vertices = body.posed(shape, pose, translation).numpy()
    labels = clothes_of(body)
    thickness = _diffused(np.array([THICKNESS[name] for name in LAYERS])[labels][:, None], body.faces, 2)
    return Mesh(vertices + thickness * Mesh(vertices, body.faces).normals, body.faces), labels


def garment(body, name, shape, pose, translation, thickness=None):
    """The layer `name` of the dressed person by itself; with `thickness` in metres, that far off the body."""
    vertices = body.posed(shape, pose, translation).numpy()
    labels = clothes_of(body)
    worn = (labels == LAYERS.index(name))[body.faces].all(1)
    used, faces = np.unique(body.faces[worn], return_inverse=True)
    off = THICKNESS[name] if thickness is None else thickness
    return Mesh((vertices + off * Mesh(vertices, body.faces).normals)[used], faces.reshape(-1, 3))
