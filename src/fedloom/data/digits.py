"""The source `digits`: 1,797 handwritten digits of 8x8 pixels, out of scikit-learn. No download."""

from __future__ import annotations

import hashlib

import numpy as np

from fedloom.data.records import Picture, Provenance
from fedloom.data.rows import Row, SourceRows
from fedloom.errors import MissingExtraError


def digits() -> SourceRows:
    """1,797 handwritten digits: rows with the columns pixels, uint8 (8, 8, 1), and label, "0" to "9". Needs the extra `pictures`.

    Raises MissingExtraError without scikit-learn.
    """
    try:
        from sklearn.datasets import load_digits
    except ImportError:
        raise MissingExtraError("scikit-learn", "pictures", "the data source digits") from None
    found = load_digits()
    pictures = np.rint(found.images * 255 / 16).astype(np.uint8)[..., None]  # pixels are from 0 to 16
    labels = [str(label) for label in found.target]
    rows = [
        Row({"pixels": pixels, "label": label}, f"digits row {number}")
        for number, (pixels, label) in enumerate(zip(pictures, labels, strict=True), start=1)
    ]
    digest = hashlib.sha256(pictures.tobytes() + " ".join(labels).encode()).hexdigest()
    licence = "BSD-3-Clause (as shipped with scikit-learn)"
    return SourceRows(rows, "digits (scikit-learn)", Provenance.PUBLIC, {"digits": licence}, digest, Picture.kind)
