"""What may be wrong with the cameras of a person taken together: where they stand, where they look, and whether their masks agree."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np

from fedloom.data.cameras import Camera
from fedloom.data.capture_layouts import Photograph
from fedloom.humans.coarse_hull import Silhouette, height_of, hull_grid, meeting_point

HEIGHTS = (0.5, 2.6)
"""What a person can measure, in metres."""

USUAL = 1.7
"""And what one measures who is not known, in metres."""

AGREED = 0.6
"""Share of every mask that the visual hull explains where cameras and masks are right; imprecise masks carve the hull a little."""

SAME_PLACE = 1e-3
"""Two cameras nearer to each other than this share of their distance from the person stand at one place."""

EXACT = 1e-9
"""And so do two that are nearer than this share of their coordinates, which is rounding."""

FACING = 0.7
"""Cosine of the widest angle between where a camera looks and where all look, for most cameras."""

OPENGL = np.diag([1.0, -1.0, -1.0])


@dataclass(frozen=True)
class Advice:
    """What to look at in the files of a layout, when cameras look as if they had other `axes`, or led in the other `direction`."""

    axes: str
    direction: str


OF_MATRICES = Advice(
    "perhaps OpenGL axes (y up, z backwards); R should have x to the right, y down, z forward",
    "perhaps R and t lead from the camera to the world; they should lead from the world to the camera",
)
OF_TRANSFORMS = Advice(
    "perhaps OpenCV axes (y down, z forward); transform_matrix should have x to the right, y up, z backwards",
    "perhaps transform_matrix leads from the world to the camera; it should lead from the camera to the world",
)


def cameras_at_one_place(photographs: Sequence[Photograph]) -> Iterator[str]:
    """A line for every camera that stands where one before it does."""
    cameras = [photograph.view.camera for photograph in photographs]
    centres = np.array([camera.centre for camera in cameras]).reshape(-1, 3)
    near = SAME_PLACE * _distance(cameras) + EXACT * float(np.abs(centres).max(initial=0))
    for second in range(1, len(cameras)):
        apart = np.linalg.norm(centres[:second] - centres[second], axis=1)
        if apart.min() <= near:
            first = photographs[int(apart.argmin())].view.image.name
            yield f"{photographs[second].view.image}: its camera stands where that of {first} does; mend one, or take the view out"


def cameras_looking_elsewhere(photographs: Sequence[Photograph], where: str, advice: Advice) -> Iterator[str]:
    """A line when most cameras do not look at a common place; cameras that look in one direction have none."""
    cameras = [photograph.view.camera for photograph in photographs]
    if (place := _common_place(cameras)) is None:
        return
    ways = [place - camera.centre for camera in cameras]
    facing = float(np.median([way @ camera.forward / max(np.linalg.norm(way), EXACT) for way, camera in zip(ways, cameras, strict=True)]))
    if facing < FACING:
        how, perhaps = (" but away from it", advice.axes) if facing < -FACING else ("", advice.direction)
        yield f"{where}: the cameras do not look at one place{how}: {perhaps}"


def masks_taken_together(
    silhouettes: Sequence[Silhouette], names: Sequence[str], where: str, advice: Advice
) -> tuple[float | None, list[str]]:
    """The height in metres of the person whose masks these are, null where it is not known, and lines on what cannot be. `names` are those
    of the pictures."""
    hull, explained = _hull(silhouettes)
    if explained < AGREED:
        return None, [_disagreement(silhouettes, names, where, advice)]
    height = height_of(silhouettes, hull, up_of([one.camera for one in silhouettes]))
    if height is None or HEIGHTS[0] <= height <= HEIGHTS[1]:
        return height, []
    return height, [
        f"{where}: the person is {height:.3g} metres tall by the masks, so that t is likely not in metres;"
        f" fedloom humans capture import with --scale {USUAL / height:.3g} makes a person of {USUAL} metres"
    ]


def up_of(cameras: Sequence[Camera]) -> np.ndarray:
    """The axis of the world, (3,), that is nearest to the cameras' own upward direction."""
    mean = -np.mean([camera.R[1] for camera in cameras], axis=0)
    axis = int(np.abs(mean).argmax())
    return np.eye(3)[axis] * (np.sign(mean[axis]) or 1.0)


def _distance(cameras: Sequence[Camera]) -> float:
    """How far the cameras stand from where they look, as a median; 0 where that is not known."""
    if (place := _common_place(cameras)) is None:
        return 0.0
    return float(np.median([np.linalg.norm(place - camera.centre) for camera in cameras]))


def _common_place(cameras: Sequence[Camera]) -> np.ndarray | None:
    if len(cameras) < 2:
        return None
    return meeting_point(np.stack([camera.centre for camera in cameras]), np.stack([camera.forward for camera in cameras]))


def _hull(silhouettes: Sequence[Silhouette]) -> tuple[np.ndarray, float]:
    """The points (n, 3) of a grid that every mask holds, and the smallest share of a mask that they explain."""
    grid = hull_grid(silhouettes)
    if grid is None:
        return np.zeros((0, 3)), 0.0
    for one in silhouettes:
        grid = grid[one.holds(grid)]
    return grid, min(one.explained(grid) for one in silhouettes)


def _disagreement(silhouettes: Sequence[Silhouette], names: Sequence[str], where: str, advice: Advice) -> str:
    """What to say when the hull does not explain every mask: which axes would make it, or which one camera stands in its way."""
    both = f"{advice.direction}; {advice.axes}"
    for said, changed in ((advice.axes, _flipped), (advice.direction, _inverted), (both, _inverted_opengl)):
        if _hull([replace(one, camera=changed(one.camera)) for one in silhouettes])[1] >= AGREED:
            return f"{where}: the cameras do not look at one place: {said}"
    without = [_hull([*silhouettes[:left], *silhouettes[left + 1 :]])[1] for left in range(len(silhouettes))]
    worst = int(np.argmax(without))
    if without[worst] >= AGREED:
        return f"{names[worst]}: its mask cannot agree with the others': its camera or its mask is wrong; mend it, or take the view out"
    return (
        f"{where}: the masks of its views cannot be of one person (their visual hull is empty or too small); mend the cameras or the masks"
    )


def _flipped(camera: Camera) -> Camera:
    return replace(camera, R=OPENGL @ camera.R, t=OPENGL @ camera.t)


def _inverted(camera: Camera) -> Camera:
    return replace(camera, R=camera.R.T, t=-camera.R.T @ camera.t)


def _inverted_opengl(camera: Camera) -> Camera:
    return _flipped(_inverted(camera))
