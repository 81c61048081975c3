"""A reconstructed surface as a person in layers: garments cut out and bound to the body that was found beneath them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from fedloom.data.capture_pictures import colours_of, parsing_of
from fedloom.data.records import Capture
from fedloom.errors import DataError
from fedloom.humans.appearance import PaintedLayer
from fedloom.humans.body_fit import FittedBody, fit_body
from fedloom.humans.body_model import BodyModel
from fedloom.humans.boundary import fine_tuned
from fedloom.humans.cutting import Layered
from fedloom.humans.layers import Layer, bind
from fedloom.humans.mesh import LAYERS, Mesh
from fedloom.humans.separation import Parsed, Separated, separate
from fedloom.humans.texture import Photograph, painted

SMALLEST = 20
"""Faces below which a layer counts as not worn."""


@dataclass(frozen=True, eq=False)
class LayeredPerson:
    """The surface `separated` and cut into `layered`; the `fitted` body; the garments bound to it, `worn`; and body and garments with what
    they look like, `looks`, by the names of `LAYERS`."""

    separated: Separated
    layered: Layered
    fitted: FittedBody
    worn: Sequence[Layer]
    looks: dict[str, PaintedLayer] = field(repr=False)


def layered_person(surface: Mesh, capture: Capture, body: BodyModel, texture: int | None = 1024) -> LayeredPerson:
    """`surface` in layers, as the parsing of `capture` says. `texture` is the side of each layer's picture in texels; null: colours of
    vertices alone.

    Raises DataError for a view without parsing and where no view sees a garment.
    """
    photographs = photographs_of(capture)
    views = [Parsed(one.camera, one.parsing) for one in photographs if one.parsing is not None]
    separated = separate(surface, views)
    layered = fine_tuned(surface, separated, views)
    fitted = fit_body(body, surface, separated.labels)
    garments = garments_of(layered)
    worn = [bind(name, mesh, body, fitted) for name, mesh in garments.items()]
    posed = Mesh(body.posed(fitted.shape, fitted.pose, fitted.translation).numpy().astype(np.float64), body.faces)
    found = posed.part(np.arange(len(posed.faces)))
    return LayeredPerson(separated, layered, fitted, worn, painted({"body": found, **garments}, photographs, texture))


def photographs_of(capture: Capture) -> list[Photograph]:
    """The photographs with their parsing. Raises DataError for a view that has none."""
    found = []
    for view in capture.views:
        parsing = parsing_of(view)
        if parsing is None:
            raise DataError(f"{view.image}: has no parsing; make one with `fedloom humans capture parse`")
        found.append(Photograph(view.camera, colours_of(view), parsing))
    return found


def garments_of(layered: Layered) -> dict[str, Mesh]:
    """The layers over the body that are worn, by name."""
    parts = {name: np.flatnonzero(layered.face_labels == number) for number, name in enumerate(LAYERS) if name != "body"}
    return {name: layered.mesh.part(faces) for name, faces in parts.items() if len(faces) >= SMALLEST}
