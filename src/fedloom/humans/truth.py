"""The truth beside a synthetic capture: truth.safetensors with every layer as a mesh, truth.json with who and what is seen."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load_file, save

from fedloom.errors import DataError
from fedloom.files import read_json, write_atomic
from fedloom.humans.mesh import Mesh

MESHES, FACTS = "truth.safetensors", "truth.json"


@dataclass(frozen=True, eq=False)
class Truth:
    """What is true of a capture. `layers` are whole meshes with colours, by layer: "body" is all of the skin and the eyes, clothes or not;
    `seen` (m,) says for each which of its faces can be seen from outside.

    `shape` (S,), `pose` (J, 3) and `translation` (3,) are those of the packaged body. `facts` are the seed, the studio, the style of the
    pose, the garments with their dyes, and the settings of the pictures.
    """

    layers: Mapping[str, Mesh] = field(repr=False)
    seen: Mapping[str, np.ndarray] = field(repr=False)
    shape: np.ndarray = field(repr=False)
    pose: np.ndarray = field(repr=False)
    translation: np.ndarray = field(repr=False)
    facts: Mapping[str, Any] = field(repr=False)

    def visible(self, layer: str) -> Mesh:
        """The faces of `layer` that can be seen from outside, with the vertices between them."""
        mesh = self.layers[layer]
        vertices, faces = np.unique(mesh.faces[self.seen[layer]], return_inverse=True)
        colours = None if mesh.colours is None else mesh.colours[vertices]
        return Mesh(mesh.vertices[vertices], faces.reshape(-1, 3), colours)


def write_truth(person: Path, truth: Truth) -> None:
    """Write `truth` into the folder of a capture."""
    arrays = {name: getattr(truth, name).astype(np.float32) for name in ("shape", "pose", "translation")}
    for layer, mesh in truth.layers.items():
        arrays[f"{layer}.vertices"] = mesh.vertices.astype(np.float32)
        arrays[f"{layer}.faces"] = mesh.faces.astype(np.int32)
        arrays[f"{layer}.seen"] = truth.seen[layer]
        if mesh.colours is not None:
            arrays[f"{layer}.colours"] = mesh.colours.astype(np.float32)
    write_atomic(person / MESHES, save({name: np.ascontiguousarray(array) for name, array in arrays.items()}))
    write_atomic(person / FACTS, json.dumps(truth.facts, indent=1) + "\n")


def read_truth(person: Path) -> Truth:
    """The truth in the folder of a capture. Raises DataError when there is none, or when it is damaged."""
    if not (person / MESHES).is_file():
        raise DataError(f"{person}: has no {MESHES}; only synthetic captures have one")
    try:
        arrays = load_file(person / MESHES)
        names = [name.removesuffix(".vertices") for name in arrays if name.endswith(".vertices")]
        layers = {name: _mesh(arrays, name) for name in names}
        seen = {name: arrays[f"{name}.seen"] for name in names}
        body = {name: arrays[name].astype(np.float64) for name in ("shape", "pose", "translation")}
    except (SafetensorError, KeyError) as error:
        raise DataError(f"{person / MESHES}: is damaged ({error}); make the capture again") from None
    return Truth(layers, seen, **body, facts=read_json(person / FACTS, dict))


def _mesh(arrays: Mapping[str, np.ndarray], name: str) -> Mesh:
    vertices, faces = arrays[f"{name}.vertices"].astype(np.float64), arrays[f"{name}.faces"].astype(np.int64)
    return Mesh(vertices, faces, arrays.get(f"{name}.colours"))
