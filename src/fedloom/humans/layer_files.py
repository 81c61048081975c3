"""Layers as files: safetensors, with the name and the body they were bound to as JSON in the metadata."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save

from fedloom.errors import DataError
from fedloom.files import write_atomic
from fedloom.humans.layers import Layer

FORMAT = 1
ARRAYS = ("faces", "triangles", "weights", "offsets", "skinning", "parts", "off")


def save_layer(layer: Layer, path: Path) -> None:
    """Write `layer` to `path`, for its owner alone. Equal layers give equal bytes."""
    names = (*ARRAYS, *(["colours"] if layer.colours is not None else []))
    arrays = {name: np.ascontiguousarray(getattr(layer, name)) for name in names}
    known = {"format": FORMAT, "name": layer.name, "body": list(layer.body)}
    write_atomic(path, save(arrays, metadata={"layer": json.dumps(known)}), private=True)


def load_layer(path: Path) -> Layer:
    """The layer that `save_layer` wrote. Raises DataError in one line when it is none, or damaged."""
    try:
        with safe_open(path, "np") as file:
            known = json.loads((file.metadata() or {})["layer"])
            arrays = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - is no dict
        name, body = str(known["name"]), tuple(int(size) for size in known["body"])
        found = Layer(name, _three(body), **{one: arrays[one] for one in ARRAYS}, colours=arrays.get("colours"))
    except FileNotFoundError:
        raise DataError(f"{path}: no such file; it should be a layer that was bound to a body") from None
    except (OSError, SafetensorError, ValueError, KeyError, TypeError, RecursionError):
        raise DataError(f"{path}: holds no layer that was bound to a body; bind the garment again") from None
    if wrong := _wrong(found, known.get("format")):
        raise DataError(f"{path}: {wrong}; bind the garment again")
    return found


def _three(sizes: tuple[int, ...]) -> tuple[int, int, int]:
    vertices, faces, joints = sizes
    return vertices, faces, joints


def _wrong(layer: Layer, version: Any) -> str | None:
    """What is wrong with the layer, if anything is."""
    if version != FORMAT:
        return f"is of format {version}, and {FORMAT} is read"
    for name, (kind, shape) in _expected(layer).items():
        array = getattr(layer, name)
        if array.dtype.kind != kind or array.shape != shape:
            return f"{name} should have the shape {' x '.join(map(str, shape))}, of {'whole numbers' if kind == 'i' else 'numbers'}"
        if kind == "f" and not np.isfinite(array).all():
            return f"{name} holds numbers that are not finite"
    for name, end in (("faces", len(layer.parts)), ("triangles", layer.body[1])):
        if not ((getattr(layer, name) >= 0) & (getattr(layer, name) < end)).all():
            return f"{name} points at what there is not (0 to {end - 1})"
    if not np.allclose(layer.weights.sum(axis=1), 1) or not np.allclose(layer.skinning.sum(axis=1), 1, atol=1e-4):
        return "weights or skinning do not sum to 1"
    return None


def _expected(layer: Layer) -> dict[str, tuple[str, tuple[int, ...]]]:
    """name -> kind and shape of each array."""
    count, held = len(layer.parts), layer.triangles.shape[-1]
    found: dict[str, tuple[str, tuple[int, ...]]] = {
        "faces": ("i", (len(layer.faces), 3)),
        "triangles": ("i", (count, held)),
        "weights": ("f", (count, held)),
        "offsets": ("f", (count, held, 3)),
        "skinning": ("f", (count, layer.body[2])),
        "parts": ("i", (count,)),
        "off": ("f", (count,)),
    }
    return found | ({} if layer.colours is None else {"colours": ("f", (count, 3))})
