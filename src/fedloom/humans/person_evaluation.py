"""How far a reconstructed person is from the truth of a synthetic capture."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from fedloom.humans.body.packaged import packaged_body
from fedloom.humans.body_measures import body_error
from fedloom.humans.cutting import Layered
from fedloom.humans.measures import MEASURES, SurfaceErrors, layer_errors, penetration, surface_errors, true_labels, vertex_accuracy
from fedloom.humans.mesh import LAYERS, Mesh
from fedloom.humans.person_files import load_labels, load_person, load_surface
from fedloom.humans.truth import Truth, read_truth
from fedloom.measures import Measure
from fedloom.streams import numpy_stream

CM = 100


def person_errors(folder: Path, capture: Path) -> list[tuple[Measure, float]]:
    """Every measure of the person in `folder`, against the truth of `capture`: what cameras see of the true surface, its layers, and the
    whole body beneath. Points are drawn from a stream of their own, the same every time. Raises DataError for a folder or a capture that
    lacks something."""
    (surface, _), truth, rng = load_surface(folder), read_truth(capture), numpy_stream(0, "evaluate person")
    seen = visible_truth(truth)
    errors = surface_errors(surface, seen.mesh, rng)
    found = {"p2s": errors.p2s, "chamfer": errors.chamfer, "normal_consistency": errors.normal_consistency}
    labels = load_labels(folder)
    found["vertex_accuracy"] = vertex_accuracy(labels, true_labels(surface.vertices, seen))
    fitted, _, looks = load_person(folder)
    body, mesh = packaged_body(), looks["body"].mesh
    posed = body.posed(fitted.shape, fitted.pose, fitted.translation).numpy()
    used = np.unique(body.faces)
    found["body_error"] = body_error(posed[used], truth.layers["body"].vertices[used])
    clothes = np.concatenate([look.mesh.vertices for name, look in looks.items() if name not in ("body", "hair")])
    found["penetration"], found["penetration_depth"] = penetration(clothes, mesh)
    layers = layer_errors(_layered({name: look.mesh for name, look in looks.items() if name != "body"}), seen, rng)
    return [*_named(found), *(told for name, one in layers.items() if name != "body" for told in _of_layer(name, one))]


def visible_truth(truth: Truth) -> Layered:
    """What can be seen of the true surface from outside, in one mesh."""
    return _layered({name: truth.visible(name) for name in truth.layers})


def _layered(meshes: dict[str, Mesh]) -> Layered:
    firsts = np.cumsum([0, *(len(mesh.vertices) for mesh in meshes.values())])
    faces = np.concatenate([mesh.faces + first for mesh, first in zip(meshes.values(), firsts, strict=False)])
    labels = np.concatenate([np.full(len(mesh.faces), LAYERS.index(name)) for name, mesh in meshes.items()])
    return Layered(Mesh(np.concatenate([mesh.vertices for mesh in meshes.values()]), faces), labels)


def _named(found: dict[str, float]) -> Iterator[tuple[Measure, float]]:
    return ((measure, found[measure.name]) for measure in MEASURES if measure.name in found)


def _of_layer(name: str, errors: SurfaceErrors) -> Iterator[tuple[Measure, float]]:
    yield Measure(f"p2s/{name}", f"surface error, {name}", "cm"), errors.p2s
    yield Measure(f"chamfer/{name}", f"Chamfer distance, {name}", "cm"), errors.chamfer
