"""The folder of one reconstructed person: its surface, its body, the layers that it wears, and all of it as GLB.

All of it is that person: the folder can be read by its owner alone.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save

from fedloom.errors import DataError
from fedloom.files import private_folder, read_json, write_atomic
from fedloom.humans.appearance import PaintedLayer
from fedloom.humans.body_fit import FittedBody
from fedloom.humans.glb import glb_bytes, read_glb
from fedloom.humans.layer_files import load_layer, save_layer
from fedloom.humans.layering import LayeredPerson
from fedloom.humans.layers import Layer
from fedloom.humans.mesh import Mesh

SURFACE, MADE_OF, BODY, GLB, LAYERS_OF = "surface.safetensors", "reconstruction.json", "body.safetensors", "person.glb", "layers"


def save_surface(mesh: Mesh, made_of: Mapping[str, Any], folder: Path) -> None:
    """Write a reconstructed surface, and what it was made of, into `folder`. Layers of an earlier surface are removed."""
    private_folder(folder)
    for left_over in (folder / BODY, folder / GLB, *(folder / LAYERS_OF).glob("*.safetensors")):
        left_over.unlink(missing_ok=True)
    arrays = {"vertices": mesh.vertices, "faces": mesh.faces, "colours": mesh.colours}
    content = save({name: np.ascontiguousarray(array) for name, array in arrays.items() if array is not None})
    write_atomic(folder / SURFACE, content, private=True)
    write_atomic(folder / MADE_OF, json.dumps(dict(made_of), indent=2) + "\n", private=True)


def load_surface(folder: Path) -> tuple[Mesh, dict[str, Any]]:
    """What `save_surface` wrote. Raises DataError for a folder that it did not write."""
    arrays = _arrays(folder / SURFACE, "fedloom humans reconstruct")
    mesh = Mesh(arrays["vertices"], arrays["faces"], arrays.get("colours"))
    return mesh, read_json(folder / MADE_OF, dict)


def save_person(person: LayeredPerson, folder: Path) -> None:
    """Write a person in layers into `folder`: the body, each layer as it is bound to it, and all of them as GLB."""
    private_folder(folder / LAYERS_OF)
    for left_over in (folder / LAYERS_OF).glob("*.safetensors"):
        left_over.unlink()
    for layer in person.worn:
        save_layer(layer, folder / LAYERS_OF / f"{layer.name}.safetensors")
    fitted = {name: getattr(person.fitted, name).numpy() for name in ("shape", "pose", "translation")}
    labels = {"labels": person.separated.labels, "confidence": person.separated.confidence}
    write_atomic(folder / BODY, save({**fitted, **labels}), private=True)
    write_atomic(folder / GLB, glb_bytes(person.looks), private=True)


def load_person(folder: Path) -> tuple[FittedBody, Sequence[Layer], dict[str, PaintedLayer]]:
    """The body, the layers and their looks that `save_person` wrote. Raises DataError for a folder that it did not write."""
    arrays = _arrays(folder / BODY, "fedloom humans separate")
    shape, pose, translation = (torch.from_numpy(arrays[name]) for name in ("shape", "pose", "translation"))
    fitted = FittedBody(shape, pose, translation)
    layers = [load_layer(path) for path in sorted((folder / LAYERS_OF).glob("*.safetensors"))]
    return fitted, layers, read_glb(folder / GLB)


def load_labels(folder: Path) -> np.ndarray:
    """The layer of each vertex of the surface, numbers of `LAYERS`."""
    return _arrays(folder / BODY, "fedloom humans separate")["labels"]


def _arrays(path: Path, command: str) -> dict[str, np.ndarray]:
    try:
        with safe_open(path, "np") as file:
            return {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - is no dict
    except FileNotFoundError:
        raise DataError(f"{path.parent}: has no {path.name}; make it with `{command}`") from None
    except SafetensorError:
        raise DataError(f"{path}: is damaged; make it again with `{command}`") from None
