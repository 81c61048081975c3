"""Cameras and captures for tests."""

import numpy as np

from fedloom.data.cameras import Camera


def camera(focal=1.0, size=(4, 3), R=None, t=(0.0, 0.0, 2.0)):
    """A camera two metres in front of the origin, looking along z; its axis goes through the middle of the picture."""
    width, height = size
    K = np.array([[focal, 0, width / 2], [0, focal, height / 2], [0, 0, 1]], dtype=float)
    return Camera(K, np.eye(3) if R is None else np.asarray(R, dtype=float), np.asarray(t, dtype=float), width, height)
