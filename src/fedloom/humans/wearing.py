"""One person's clothes on another: swap, re-pose, re-shape."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace

import numpy as np
import torch

from fedloom.errors import DataError
from fedloom.humans.appearance import PaintedLayer
from fedloom.humans.body_fit import FittedBody
from fedloom.humans.body_model import BodyModel
from fedloom.humans.layers import Layer, dress

Worn = tuple[FittedBody, Sequence[Layer], Mapping[str, PaintedLayer]]
"""A person as `load_person` gives it."""

MOST = 10.0
"""How far from 0 the numbers of a body's shape may be."""


def swapped(wearer: Worn, lender: Worn, take: Collection[str]) -> tuple[list[Layer], dict[str, PaintedLayer]]:
    """The layers of `wearer` with those named in `take` from `lender`, and their looks. Raises DataError for one that the lender lacks."""
    lent = {layer.name: layer for layer in lender[1]}
    if missing := sorted(set(take) - set(lent)):
        raise DataError(f"--take {missing[0]}: is not worn there; there are {', '.join(lent)}")
    kept = [layer for layer in wearer[1] if layer.name not in take]
    looks = {name: look for name, look in wearer[2].items() if name not in take} | {name: lender[2][name] for name in take}
    return [*kept, *(lent[name] for name in take)], looks


def wearing(body: BodyModel, person: FittedBody, layers: Sequence[Layer], looks: Mapping[str, PaintedLayer]) -> dict[str, PaintedLayer]:
    """`layers` on the body of `person`, looking as `looks` say."""
    worn = dress(body, person.shape, person.pose, person.translation, layers)
    used = {name: mesh.part(np.arange(len(mesh.faces))) for name, mesh in worn.items()}
    return {name: replace(looks[name], mesh=replace(mesh, colours=looks[name].mesh.colours)) for name, mesh in used.items()}


def reshaped(person: FittedBody, changes: Mapping[int, float]) -> FittedBody:
    """`person` with numbers of its shape set, by their places from 0. Raises DataError for a place that there is not, and for a number
    beyond `MOST`."""
    shape = person.shape.clone()
    for place, value in changes.items():
        if not 0 <= place < len(shape):
            raise DataError(f"--shape {place}: the body has the numbers 0 to {len(shape) - 1}")
        if not abs(value) <= MOST:
            raise DataError(f"--shape {place}:{value:g}: should be a number from -{MOST:g} to {MOST:g}; people lie between -3 and 3")
        shape[place] = value
    return replace(person, shape=shape)


def reposed(person: FittedBody, pose: np.ndarray) -> FittedBody:
    """`person` in another pose (J, 3)."""
    return replace(person, pose=torch.from_numpy(pose).to(person.pose))
