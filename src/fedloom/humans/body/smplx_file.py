"""SMPL and SMPL-X as body models, out of the user's own files, which their licences let nobody else hand on.

Read through the library smplx (Loper et al., SIGGRAPH Asia 2015; Pavlakos et al., CVPR 2019). Corrections of the shape that depend on the
pose are left out, so that a pose is linear blend skinning alone, as everywhere here. A .pkl file is a program: take it from its makers.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from fedloom.errors import ModelError
from fedloom.humans.body.linear import LinearBody

KINDS = ("smpl", "smplx")

TO_WORLD = torch.tensor([[1.0, 0.0, 0.0], [0.0, 0.0, -1.0], [0.0, 1.0, 0.0]])
"""From the axes of these models (y up, z to the front) to ours (z up, y to the back)."""

SMPL_JOINTS = (
    *("pelvis", "left_hip", "right_hip", "spine1", "left_knee", "right_knee", "spine2", "left_ankle", "right_ankle", "spine3"),
    *("left_foot", "right_foot", "neck", "left_collar", "right_collar", "head", "left_shoulder", "right_shoulder"),
    *("left_elbow", "right_elbow", "left_wrist", "right_wrist"),
)
"""The joints that both models begin with; those behind them are of hands and of the face."""

PART_OF = {
    "hip": "thigh",
    "knee": "calf",
    "ankle": "foot",
    "foot": "foot",
    "shoulder": "upper arm",
    "elbow": "forearm",
    "wrist": "hand",
}
"""joint of one side -> the part that it moves."""

PARTS = ("head", "torso", *(f"{side} {part}" for side in ("left", "right") for part in dict.fromkeys(PART_OF.values())))

SMPL_HANDS = ("left_hand", "right_hand")


def smplx_body(path: Path, shapes: int = 10) -> LinearBody:
    """The body in a file whose name begins with the model's, such as SMPLX_NEUTRAL.npz or SMPL_MALE.pkl, with its first numbers of shape.

    Raises ModelError without smplx, and for a file that is none of these models or that smplx cannot read.
    """
    kind = path.name.partition("_")[0].lower()
    if kind not in KINDS:
        raise ModelError(f"{path}: should be a file of SMPL or SMPL-X under its own name, such as SMPLX_NEUTRAL.npz")
    if not path.is_file():
        raise ModelError(f"{path}: no such file; get it from the makers of the model")
    return linear_body(_read(path, kind, shapes), kind)


def _read(path: Path, kind: str, shapes: int) -> Any:
    try:
        import smplx
    except ImportError:
        raise ModelError(f"{path}: needs the library smplx, which is not installed: pip install smplx") from None
    try:
        return smplx.create(str(path), kind, num_betas=shapes, use_pca=False, flat_hand_mean=True, ext=path.suffix[1:])
    except Exception as error:  # noqa: BLE001 - the library raises whatever a wrong file causes
        reason = str(error).splitlines()[0][:100] if str(error) else type(error).__name__
        raise ModelError(f"{path}: cannot be read by smplx ({reason}); download the file again") from None


def linear_body(model: Any, kind: str) -> LinearBody:
    """The body of a model that smplx has read: joints are `J_regressor` (J, V) times the vertices of the canonical pose (SMPL eq. 10)."""
    mean, components = _turned(model.v_template), _turned(model.shapedirs.permute(2, 0, 1))
    parents = tuple(int(parent) for parent in model.parents)
    names = _joint_names(kind, len(parents))
    parts = np.array([PARTS.index(_part(names, parents, joint)) for joint in range(len(names))])
    return LinearBody(
        faces=np.asarray(model.faces_tensor.cpu(), dtype=np.int64),
        joint_names=names,
        parents=parents,
        skinning=model.lbs_weights.detach(),
        parts=parts[model.lbs_weights.argmax(dim=1).cpu().numpy()],
        part_names=PARTS,
        mean=mean,
        components=components,
        mean_joints=model.J_regressor @ mean,
        joint_components=torch.einsum("jv,svc->sjc", model.J_regressor, components),
    )


def _turned(points: Tensor) -> Tensor:
    return points.detach() @ TO_WORLD.T.to(points)


def _joint_names(kind: str, joints: int) -> tuple[str, ...]:
    if kind == "smpl":
        return (*SMPL_JOINTS, *SMPL_HANDS)[:joints]
    from smplx.joint_names import JOINT_NAMES

    return tuple(JOINT_NAMES[:joints])


def _part(names: tuple[str, ...], parents: tuple[int, ...], joint: int) -> str:
    """The part that a joint moves; fingers are of the hand, jaw and eyes of the head, as the joints that they hang on."""
    while joint >= len(SMPL_JOINTS):
        joint = parents[joint]
    if names[joint] == "head":
        return "head"
    side, _, name = names[joint].partition("_")
    return f"{side} {PART_OF[name]}" if name in PART_OF else "torso"
