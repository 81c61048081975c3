"""Poses that people stand and walk in, drawn within the limits of their joints."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

Range = tuple[float, float]
"""Degrees, from and to."""

Turns = dict[str, tuple[Range, Range, Range]]
"""joint of the left side or of the middle -> ranges of its turns about x, y and z. About x: forwards is below 0, backwards above.
About y: an arm sinks above 0, a leg moves inwards above 0. About z: a turn to the left is above 0."""

STILL: Range = (0.0, 0.0)

UPRIGHT: Turns = {
    "pelvis": ((-3, 3), (-2, 2), (-6, 6)),
    "spine1": ((-4, 4), (-3, 3), (-5, 5)),
    "spine2": ((-4, 4), (-3, 3), (-5, 5)),
    "spine3": ((-4, 4), (-3, 3), (-4, 4)),
    "neck": ((-8, 8), (-5, 5), (-15, 15)),
    "head": ((-8, 8), (-5, 5), (-15, 15)),
    "thigh": ((-5, 4), (-5, 2), (-8, 8)),
    "calf": ((0, 6), STILL, STILL),
    "foot": ((-3, 3), STILL, (-4, 10)),
    "hand": ((-10, 10), (-10, 10), STILL),
}

STYLES: dict[str, Turns] = {
    "standing": UPRIGHT
    | {"shoulder": ((-4, 4), (2, 6), STILL), "upper_arm": ((-12, 10), (10, 20), STILL), "forearm": ((-25, 5), STILL, STILL)},
    "walking": UPRIGHT
    | {"shoulder": ((-4, 4), (2, 6), STILL), "upper_arm": ((-4, 4), (9, 18), STILL), "forearm": ((-30, -5), STILL, STILL)},
    "a_pose": UPRIGHT
    | {
        "thigh": ((-3, 3), (-9, -3), (-5, 5)),
        "shoulder": ((-3, 3), (-2, 4), STILL),
        "upper_arm": ((-6, 6), (-10, 8), STILL),
        "forearm": ((-15, 10), STILL, STILL),
    },
    "arms_raised": UPRIGHT
    | {
        "thigh": ((-3, 3), (-8, 0), (-5, 5)),
        "shoulder": ((-5, 3), (-18, -8), STILL),
        "upper_arm": ((-15, 5), (-55, -20), STILL),
        "forearm": ((-20, 5), STILL, STILL),
    },
    "gesturing": UPRIGHT
    | {"shoulder": ((-6, 3), (0, 6), STILL), "upper_arm": ((-30, 5), (0, 16), STILL), "forearm": ((-75, -5), STILL, STILL)},
}
SHARES = {"standing": 0.3, "walking": 0.25, "a_pose": 0.2, "arms_raised": 0.1, "gesturing": 0.15}
"""How many people are in each style."""

STRIDE: Range = (10.0, 24.0)
"""Degrees that the leading thigh goes forwards of people who walk; the other goes back by two thirds."""


def draw_pose(joint_names: Sequence[str], rng: np.random.Generator) -> tuple[str, np.ndarray]:
    """A style and a pose (J, 3), axis times angle, of a body with the joints of the packaged one. Raises KeyError for another body's."""
    style = str(rng.choice(list(SHARES), p=list(SHARES.values())))
    return style, pose_in(style, joint_names, rng)


def pose_in(style: str, joint_names: Sequence[str], rng: np.random.Generator) -> np.ndarray:
    """A pose (J, 3) in a style of `STYLES`, axis times angle. Raises KeyError for the joints of another body."""
    degrees = {joint: _turns(STYLES[style], joint, rng) for joint in joint_names}
    if style == "walking":
        _stride(degrees, rng)
    return np.stack([_axis_angle(degrees[joint]) for joint in joint_names])


def _turns(turns: Turns, joint: str, rng: np.random.Generator) -> np.ndarray:
    """Degrees about x, y and z, (3,): a right joint's are a left one's in the mirror."""
    side, _, name = joint.partition("_")
    ranges = turns.get(name or joint, (STILL, STILL, STILL))
    drawn = np.array([rng.uniform(*one) for one in ranges])
    return drawn * [1, -1, -1] if side == "right" else drawn


def _stride(degrees: Mapping[str, np.ndarray], rng: np.random.Generator) -> None:
    """One leg goes forwards, the other back with its knee bent, and the arms swing against them."""
    stride, bend, swing = rng.uniform(*STRIDE), rng.uniform(10, 30), rng.uniform(0.7, 1.2)
    leading, other = ("left", "right") if rng.random() < 0.5 else ("right", "left")
    degrees[f"{leading}_thigh"][0] -= stride
    degrees[f"{other}_thigh"][0] += stride * 2 / 3
    degrees[f"{leading}_calf"][0] += bend / 3
    degrees[f"{other}_calf"][0] += bend
    degrees[f"{leading}_upper_arm"][0] += swing * stride
    degrees[f"{other}_upper_arm"][0] -= swing * stride


def _axis_angle(degrees: np.ndarray) -> np.ndarray:
    """(3,): turned about z first, then y, then x."""
    x, y, z = np.deg2rad(degrees)
    turned = _about(0, x) @ _about(1, y) @ _about(2, z)
    angle = np.arccos(np.clip((np.trace(turned) - 1) / 2, -1.0, 1.0))
    axis = np.array([turned[2, 1] - turned[1, 2], turned[0, 2] - turned[2, 0], turned[1, 0] - turned[0, 1]])
    length = np.linalg.norm(axis)
    found: np.ndarray = axis * (angle / length) if length > 0 else np.zeros(3)
    return found


def _about(axis: int, angle: float) -> np.ndarray:
    """The rotation (3, 3) about one axis of the world."""
    turned = np.eye(3)
    one, other = (axis + 1) % 3, (axis + 2) % 3
    turned[one, one] = turned[other, other] = np.cos(angle)
    turned[other, one], turned[one, other] = np.sin(angle), -np.sin(angle)
    return turned
