"""The body under the clothes: a parametric body fitted beneath a labelled surface.

Bare skin is met by robust ICP: the distance along the normal (Chen and Medioni 1992) under Geman and McClure's penalty. Below clothes the
body stays at least `INSIDE` under the surface, a penalty of one side alone, and is drawn softly to `DEPTH` (after arXiv:2302.10518; the
numbers are ours). Hair only keeps the body in. Points of the surface look for the body, and points of the body for the surface.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.autograd.functional import jacobian

from fedloom.errors import DataError
from fedloom.humans.body_model import BodyModel
from fedloom.humans.closest import tree_of
from fedloom.humans.mesh import LAYERS, Mesh

INSIDE = 0.006
"""How far below the surface of a garment the body stays, in metres."""
DEPTH = 0.015
"""How far below it the body is expected."""
COARSE, FINE = 3000, 8000
"""About so many points of the surface, and as many of the body, are compared, at first and for the shape: of 3000 too few lie on hands and
feet to tell how these are turned."""
NORMAL_WEIGHT = 0.1
"""Metres that a difference of 1 between two normals counts for in the search for the nearest point."""
YAWS = 6
"""Directions that the person is first thought to face, evenly around z."""
RAISED = (0.0, 1.3)
"""Radians that the arms are first thought to be raised from the canonical pose."""
TRIED = 2
"""So many of the best directions are followed."""
BIG = 0.01
"""A joint is big that moves this share of the body's surface."""
LIMITS = {"torso": 0.5, "head": 0.6, "arm": 2.2, "leg": 1.6, "thigh": 1.6, "calf": 2.2}
"""Radians that a joint may turn from the canonical pose before it is held back, by what the name of the part that it moves has in it;
`OTHER_LIMIT` for any other part."""
OTHER_LIMIT = 1.0
SOFT, SHAPE_WEIGHT, LIMIT_WEIGHT = 0.05, 0.002, 1.0
"""What the pull to 15 mm and the priors count for, against a mean square distance in square centimetres."""
DAMPING = 0.02
"""Is added to every second derivative."""
TURN = 0.3
"""Radians that a joint turns in one step at most."""


@dataclass(frozen=True, eq=False)
class FittedBody:
    """A person's `shape` (S,), `pose` (J, 3) and `translation` (3,), as `BodyModel.posed` takes them. `errors` are named values of the fit:
    skin (median distance of bare skin from the body, in metres), shallow (share of the garments' points with the body less than 6 mm below
    them) and misfit (mean distance in metres of the points from where the body should be; skin from it, clothes from 6 to 15 mm off)."""

    shape: Tensor = field(repr=False)
    pose: Tensor = field(repr=False)
    translation: Tensor = field(repr=False)
    errors: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class _Stage:
    """`steps` of Gauss and Newton. `reach`, the scale of the robust penalty in metres, goes from the first to the second. `smallest` is the
    share of the body that a joint must move to be turned, `stiff` what a radian squared costs. With `shape`, that is fitted too."""

    steps: int
    reach: tuple[float, float]
    smallest: float
    stiff: float
    shape: bool = False


FACING = _Stage(4, (0.3, 0.2), smallest=2.0, stiff=0.0)
POSING = _Stage(15, (0.2, 0.05), smallest=BIG, stiff=0.03)
WHOLE = _Stage(20, (0.1, 0.015), smallest=BIG / 2, stiff=0.002, shape=True)


@dataclass(frozen=True, eq=False)
class _Surface:
    """Points (n, 3) with their unit normals and layers (n,), and a tree to find them in."""

    points: np.ndarray
    normals: np.ndarray
    labels: np.ndarray
    tree: Any


@dataclass(frozen=True, eq=False)
class _Body:
    """A body model at a sample of its vertices. `moves` (J,) is the share of the body's surface that a joint moves, `joint_parts`
    names the part that it moves most."""

    model: BodyModel
    taken: Tensor
    skinning: Tensor
    moves: Tensor
    joint_parts: tuple[str, ...]

    def posed(self, fitted: FittedBody) -> Tensor:
        return self._moved(fitted, self.model.canonical(fitted.shape)[self.taken], 1.0)

    def normals(self, fitted: FittedBody) -> Tensor:
        own = torch.from_numpy(_canonical(self.model, fitted.shape).normals).to(self.skinning.dtype)
        return torch.nn.functional.normalize(self._moved(fitted, own[self.taken], 0.0), dim=1)

    def _moved(self, fitted: FittedBody, vectors: Tensor, w: float) -> Tensor:
        transforms = self.model.transforms(fitted.shape, fitted.pose, fitted.translation)
        blended = torch.einsum("vj,jab->vab", self.skinning, transforms[:, :3])
        return torch.einsum("vab,vb->va", blended[:, :, :3], vectors) + w * blended[:, :, 3]


@dataclass(frozen=True, eq=False)
class _Matches:
    """Pairs of a point of the sampled body and one of the surface: their numbers, the normals (n, 3) of the side on which the nearest point
    was looked up, and weights (n,), 1 where the two normals look the same way and 0 where they look away from each other."""

    own: Tensor
    points: Tensor
    normals: Tensor
    labels: Tensor
    weights: Tensor


def fit_body(body: BodyModel, mesh: Mesh, labels: np.ndarray) -> FittedBody:
    """The person of `body` under the surface `mesh`, whose vertices have `labels` (n,), numbers of `LAYERS`.

    The person may face anywhere around z: six directions are tried. In the best two the body is posed, once beginning with the arms of the
    canonical pose and once with raised ones; the better of these is fitted with the shape, and the better one of the two is given.
    Raises DataError for labels that do not fit the mesh.
    """
    own, surface = _body(body, COARSE), _surface(mesh, labels, COARSE)
    facing = _different(sorted((_fitted(own, surface, _standing(own, surface, turn), FACING) for turn in _turns()), key=_misfit_of))
    posed = [_posed(own, surface, start) for start in facing[:TRIED]]
    own, surface = _body(body, FINE), _surface(mesh, labels, FINE)
    return min((_fitted(own, surface, start, WHOLE) for start in posed), key=_misfit_of)


def _body(model: BodyModel, points: int) -> _Body:
    mesh = _canonical(model, torch.zeros(model.shapes, dtype=model.skinning.dtype))
    taken = torch.from_numpy(_even(mesh, points))
    return _Body(model, taken, model.skinning[taken], _moves(model, mesh), _joint_parts(model))


def _canonical(model: BodyModel, shape: Tensor) -> Mesh:
    with torch.no_grad():
        return Mesh(model.canonical(shape).numpy().astype(np.float64), model.faces)


def _even(mesh: Mesh, points: int) -> np.ndarray:
    """Numbers of about so many vertices of the mesh, as many on each square metre of it."""
    passed = np.cumsum(_areas(mesh))
    return np.unique(np.searchsorted(passed, passed[-1] * (np.arange(points) + 0.5) / points))


def _areas(mesh: Mesh) -> np.ndarray:
    """(n,): the area around each vertex, up to a factor."""
    return np.bincount(mesh.faces.ravel(), np.repeat(np.linalg.norm(mesh.face_normals, axis=1), 3), minlength=len(mesh.vertices))


def _moves(model: BodyModel, mesh: Mesh) -> Tensor:
    """The share of the surface that each joint moves, with all joints below it."""
    areas = torch.from_numpy(_areas(mesh)).to(model.skinning.dtype)
    moved = areas @ model.skinning / areas.sum()
    for joint in reversed(range(1, len(moved))):
        moved[model.parents[joint]] += moved[joint]
    return moved


def _joint_parts(model: BodyModel) -> tuple[str, ...]:
    """The part of the body that each joint moves most by itself."""
    shares = np.stack([model.skinning.numpy()[model.parts == part].sum(axis=0) for part in range(len(model.part_names))])
    return tuple(model.part_names[part] for part in shares.argmax(axis=0))


def _surface(mesh: Mesh, labels: np.ndarray, points: int) -> _Surface:
    if labels.shape != (len(mesh.vertices),) or labels.min(initial=0) < 0 or labels.max(initial=0) >= len(LAYERS):
        raise DataError(f"labels should give each of the {len(mesh.vertices)} vertices its layer, a number from 0 to {len(LAYERS) - 1}")
    taken = _even(mesh, points)
    places, normals = mesh.vertices[taken], mesh.normals[taken]
    return _Surface(places, normals, labels[taken], tree_of(_with_normals(places, normals)))


def _turns() -> np.ndarray:
    """From above -pi to pi."""
    return (np.arange(YAWS) + 1) * (2 * np.pi / YAWS) - np.pi


def _standing(body: _Body, surface: _Surface, turn: float) -> FittedBody:
    """The likeliest person of the surface's height, turned around z, in the middle of its bounding box and as low."""
    model, dtype = body.model, body.skinning.dtype
    low, high = surface.points.min(axis=0), surface.points.max(axis=0)
    shape = _shape_of_height(model, high[2] - low[2])
    pose, nowhere = torch.zeros(len(model.joint_names), 3, dtype=dtype), torch.zeros(3, dtype=dtype)
    pose[0, 2] = turn
    with torch.no_grad():
        vertices = model.posed(shape, pose, nowhere).numpy()[np.unique(model.faces)]
    offset = (low + high) / 2 - (vertices.min(axis=0) + vertices.max(axis=0)) / 2
    offset[2] = low[2] - vertices[:, 2].min()
    return FittedBody(shape, pose, torch.tensor(offset, dtype=dtype))


def _shape_of_height(model: BodyModel, height: float) -> Tensor:
    """The likeliest shape at which the body is that high, to first order: it lies along the gradient of the height."""
    shape = torch.zeros(model.shapes, dtype=model.skinning.dtype, requires_grad=True)
    z = model.canonical(shape)[torch.from_numpy(np.unique(model.faces)), 2]
    own = z.max() - z.min()
    (slope,) = torch.autograd.grad(own, shape)
    return (slope * (height - own.item()) / slope.square().sum()).clamp(-2, 2).detach()


def _different(fits: Sequence[FittedBody]) -> list[FittedBody]:
    """`fits` without those that face nearly as one before them."""
    found: list[FittedBody] = []
    for fit in fits:
        if all((fit.pose[0, 2] - other.pose[0, 2]).cos() < 0.8 for other in found):
            found.append(fit)
    return found


def _posed(body: _Body, surface: _Surface, facing: FittedBody) -> FittedBody:
    return min((_fitted(body, surface, _with_arms(body, facing, raised), POSING) for raised in RAISED), key=_misfit_of)


def _with_arms(body: _Body, fitted: FittedBody, raised: float) -> FittedBody:
    """With the highest joint of each arm turned about the axis to the back, so that the arm rises by `raised` radians."""
    pose = fitted.pose.clone()
    for side, sign in (("left", -1.0), ("right", 1.0)):
        joints = [joint for joint, part in enumerate(body.joint_parts) if side in part and "arm" in part]
        if joints:
            pose[max(joints, key=lambda joint: float(body.moves[joint])), 1] = sign * raised
    return replace(fitted, pose=pose)


def _fitted(body: _Body, surface: _Surface, start: FittedBody, stage: _Stage) -> FittedBody:
    """What `stage` reaches from `start`, by Gauss-Newton steps with nearest points found anew for each."""
    found = start
    for reach in np.geomspace(*stage.reach, stage.steps):
        found = _moved(found, _step(body, found, _matches(body, surface, found), float(reach), stage))
    return replace(found, errors=_errors(body, surface, found))


def _free(body: _Body, stage: _Stage) -> Tensor:
    """Which numbers of shape, pose and translation, in this order, are fitted."""
    turned = body.moves >= stage.smallest
    turned[0] = True
    return torch.cat([torch.full((body.model.shapes,), stage.shape), turned.repeat_interleave(3), torch.ones(3, dtype=torch.bool)])


def _step(body: _Body, fitted: FittedBody, matches: _Matches, reach: float, stage: _Stage) -> Tensor:
    """The change of all numbers that minimises the misfit and the priors, both to second order; no joint turns further than `TURN`."""
    free = _free(body, stage)
    slope, bend = _slopes(100 * _off(body, fitted, matches), matches, reach)
    J = 100 * _jacobian(body, fitted, matches)[:, free]
    prior_slope, prior_bend = (values[free] for values in _priors(body, fitted, stage.stiff))
    H = J.T @ (bend[:, None] * J) + torch.diag(prior_bend + DAMPING)
    found = torch.zeros(len(free), dtype=J.dtype)
    found[free] = -torch.linalg.solve(H, J.T @ slope + prior_slope)
    turn = found[body.model.shapes : -3].abs().max()
    return found * (TURN / turn).clamp(max=1.0)


def _jacobian(body: _Body, fitted: FittedBody, matches: _Matches) -> Tensor:
    """(n, S + 3 J + 3): how each match's distance off the body changes with the numbers of shape, pose and translation.

    A vertex is linear in the transforms of the joints and in its canonical place, so the derivatives of those two are enough.
    """
    numbers, model = (fitted.shape, fitted.pose, fitted.translation), body.model
    own, count = matches.own, len(fitted.pose)
    changes = jacobian(lambda *these: model.transforms(*these)[:, :3], numbers, vectorize=True, strategy="forward-mode")
    joints = torch.cat([change.reshape(count * 12, -1) for change in changes], dim=1)
    places = jacobian(lambda shape: model.canonical(shape)[body.taken], fitted.shape, vectorize=True, strategy="forward-mode")
    points = torch.nn.functional.pad(model.canonical(fitted.shape)[body.taken], (0, 1), value=1.0)
    by_joint = torch.einsum("na,nj,nb->njab", matches.normals, body.skinning[own], points[own])
    found = -by_joint.reshape(len(own), -1) @ joints
    blended = torch.einsum("vj,jab->vab", body.skinning, model.transforms(*numbers)[:, :3, :3])[own]
    found[:, : model.shapes] -= torch.einsum("na,nab,nbs->ns", matches.normals, blended, places[own])
    return found


def _moved(fitted: FittedBody, change: Tensor) -> FittedBody:
    shape, pose, translation = change.split([len(fitted.shape), fitted.pose.numel(), 3])
    return FittedBody(fitted.shape + shape, fitted.pose + pose.reshape(-1, 3), fitted.translation + translation)


@torch.no_grad()
def _matches(body: _Body, surface: _Surface, fitted: FittedBody) -> _Matches:
    """The nearest point of the body for each point of the surface, and the other way round."""
    points, normals = body.posed(fitted).numpy(), body.normals(fitted).numpy()
    own = tree_of(_with_normals(points, normals)).query(_with_normals(surface.points, surface.normals))[1]
    seen = surface.tree.query(_with_normals(points, normals))[1]
    pairs = np.concatenate([own, np.arange(len(points))]), np.concatenate([np.arange(len(own)), seen])
    used = np.concatenate([normals[own], surface.normals[seen]])
    weights = (normals[pairs[0]] * surface.normals[pairs[1]]).sum(axis=1).clip(0, 1)
    dtype = body.skinning.dtype
    found = [torch.from_numpy(value).to(dtype) for value in (surface.points[pairs[1]], used, weights)]
    return _Matches(torch.from_numpy(pairs[0]), found[0], found[1], torch.from_numpy(surface.labels[pairs[1]]), found[2])


def _with_normals(points: np.ndarray, normals: np.ndarray) -> np.ndarray:
    return np.concatenate([points, NORMAL_WEIGHT * normals], axis=1)


def _off(body: _Body, fitted: FittedBody, matches: _Matches) -> Tensor:
    """(n,): how far each match lies off the body along the normal, in metres; below 0 with the body outside."""
    return ((matches.points - body.posed(fitted)[matches.own]) * matches.normals).sum(dim=1)


def _slopes(off: Tensor, matches: _Matches, reach: float) -> tuple[Tensor, Tensor]:
    """(n,), (n,): first and second derivative of the misfit by `off`, in centimetres, with the weights of the penalty held."""
    skin, cloth = _skin(matches), _cloth(matches)
    near, deep = (off - 100 * INSIDE).clamp(max=0), off - 100 * DEPTH
    terms = ((off, skin * _held(off, reach)), (near, ~skin * (near < 0) * _held(near, reach)), (deep, SOFT * cloth * _held(deep, reach)))
    share = matches.weights / matches.weights.sum()
    return share * sum(weight * value for value, weight in terms), share * sum(weight for _, weight in terms)


def _held(off: Tensor, reach: float) -> Tensor:
    """The weight of Geman and McClure's penalty, 1 near 0 and falling to 0 beyond the reach, which is in metres."""
    return (1 + off.square() / (100 * reach) ** 2) ** -2


def _priors(body: _Body, fitted: FittedBody, stiff: float) -> tuple[Tensor, Tensor]:
    """First and second derivatives, by the numbers of shape, pose and translation, of what is unlikely: shapes far from the mean, joints
    turned far, and joints turned beyond their limits. The root and the translation are free."""
    turns = fitted.pose.norm(dim=1, keepdim=True)
    limits = torch.tensor([[_limit(part)] for part in body.joint_parts], dtype=turns.dtype)
    beyond = LIMIT_WEIGHT * (1 - limits / turns.clamp(min=1e-9)).clamp(min=0)
    weights = stiff + beyond
    weights[0] = 0
    slope = torch.cat([SHAPE_WEIGHT * fitted.shape, (weights * fitted.pose).ravel(), torch.zeros_like(fitted.translation)])
    bend = torch.cat([torch.full_like(fitted.shape, SHAPE_WEIGHT), weights.expand(-1, 3).ravel(), torch.zeros_like(fitted.translation)])
    return slope, bend


def _limit(part: str) -> float:
    return next((limit for name, limit in LIMITS.items() if name in part), OTHER_LIMIT)


def _skin(matches: _Matches) -> Tensor:
    return matches.labels == LAYERS.index("body")


def _cloth(matches: _Matches) -> Tensor:
    return matches.labels > LAYERS.index("hair")


def _errors(body: _Body, surface: _Surface, fitted: FittedBody) -> dict[str, float]:
    matches = _matches(body, surface, fitted)
    off = _off(body, fitted, matches)
    cloth = off[_cloth(matches)]
    wrong = torch.where(_skin(matches), off, (off - INSIDE).clamp(max=0)) + _cloth(matches) * (off - DEPTH).clamp(min=0)
    return {
        "skin": off[_skin(matches)].abs().median().item(),
        "shallow": (cloth < INSIDE).double().mean().item(),
        "misfit": wrong.abs().clamp(max=0.1).mean().item(),
    }


def _misfit_of(fitted: FittedBody) -> float:
    return fitted.errors["misfit"]
