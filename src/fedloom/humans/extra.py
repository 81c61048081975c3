"""The libraries of the extra `humans`, imported where they are used."""

from __future__ import annotations

from importlib import import_module
from typing import Any

from fedloom.errors import MissingExtraError

PACKAGES = {"PIL": "pillow", "skimage": "scikit-image"}
"""What a library is called where it is installed from, if not as it is imported."""


def library(module: str, purpose: str) -> Any:
    """The module `module` of a library. Raises MissingExtraError, which says that `purpose` needs it."""
    try:
        return import_module(module)
    except ImportError:
        name = module.partition(".")[0]
        raise MissingExtraError(PACKAGES.get(name, name), "humans", purpose) from None
