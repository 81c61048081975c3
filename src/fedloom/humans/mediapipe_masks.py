"""Masks and key points of persons by MediaPipe: a program of its own, which an interpreter that has mediapipe==0.10.21 runs.

    PYTHON -I mediapipe_masks.py IN OUT

IN holds pictures as 1.npy, 2.npy, ..., uint8 (height, width, 3). Into OUT go masks of the same names, bool (height, width), and pose.json:
{"names": [of each point], "views": [[[x, y in pixels, visibility from 0 to 1], ...] or null where no pose was found]}.

Where no pose is found, as in some views from behind, the mask is that of MediaPipe's model for selfies.
"""

import json
import sys
from pathlib import Path

import numpy as np

HALF = 0.5
"""Probability from which on a pixel is the person's."""


def main() -> None:
    from mediapipe.python.solutions.pose import PoseLandmark

    source, target = map(Path, sys.argv[1:])
    views = []
    for path in sorted(source.glob("*.npy"), key=lambda path: int(path.stem)):
        mask, points = _found(np.ascontiguousarray(np.load(path)))
        np.save(target / path.name, mask)
        views.append(points)
    (target / "pose.json").write_text(json.dumps({"names": [point.name.lower() for point in PoseLandmark], "views": views}))


def _found(pixels: np.ndarray) -> tuple[np.ndarray, list[list[float]] | None]:
    """The mask, and the key points or None, of one picture. Models are made anew for each: nothing of one view goes into another."""
    from mediapipe.python.solutions.pose import Pose
    from mediapipe.python.solutions.selfie_segmentation import SelfieSegmentation

    with Pose(static_image_mode=True, model_complexity=1, enable_segmentation=True) as pose:
        found = pose.process(pixels)
    if found.pose_landmarks is None or found.segmentation_mask is None:
        with SelfieSegmentation(model_selection=0) as segmentation:
            return segmentation.process(pixels).segmentation_mask >= HALF, None
    height, width = pixels.shape[:2]
    points = [[point.x * width, point.y * height, point.visibility] for point in found.pose_landmarks.landmark]
    return found.segmentation_mask >= HALF, points


if __name__ == "__main__":
    main()
