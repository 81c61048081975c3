"""The generator `principal`: the mean of a class, its principal directions, and noise. No model: for tests and first looks."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Annotated, Any, Literal

import numpy as np
import torch
from pydantic import Field

from fedloom.data.record_sequence import described
from fedloom.data.records import Picture
from fedloom.data.sources import SourceData
from fedloom.errors import DataError
from fedloom.recipe import DataRecipe
from fedloom.registry import PLACE, nearest
from fedloom.streams import numpy_stream
from fedloom.synthesis.generator import generators
from fedloom.synthesis.picture_generator import PictureGenerator, Wish
from fedloom.synthesis.picture_sizes import as_arrays, as_tensors, fitted
from fedloom.synthesis.public_pictures import public_pictures


@dataclass(frozen=True, repr=False)
class ClassPictures:
    """What is known of the pictures of a class, flat vectors of d values: their `mean` (d,), `directions` (k, d), orthonormal, with the
    `deviation` (k,) along each, and the deviation `left` (d,) of every value from what the directions say."""

    mean: np.ndarray
    directions: np.ndarray
    deviation: np.ndarray
    left: np.ndarray

    @classmethod
    def of(cls, pictures: np.ndarray, directions: int) -> ClassPictures:
        """Fitted to `pictures` (rows, d): at most `directions` directions, and fewer than rows. Deviations are those of a sample."""
        mean = pictures.mean(axis=0)
        _, lengths, found = np.linalg.svd(pictures - mean, full_matrices=False)
        kept = min(directions, len(pictures) - 1, len(lengths))
        rest = (pictures - mean) - (pictures - mean) @ found[:kept].T @ found[:kept]
        degrees = max(len(pictures) - 1, 1)
        return cls(mean, found[:kept], lengths[:kept] / np.sqrt(degrees), np.sqrt((rest**2).sum(axis=0) / degrees))

    def drawn(self, stream: np.random.Generator) -> np.ndarray:
        """The distance of a picture of the class from the mean (d,)."""
        along = stream.standard_normal(len(self.deviation)) * self.deviation
        return along @ self.directions + stream.standard_normal(len(self.left)) * self.left


@generators.register("principal")
@dataclass(frozen=True)
class PrincipalGenerator(PictureGenerator):
    """The mean of a class, its principal directions with normal coefficients, and noise as these leave it: probabilistic PCA (Tipping and
    Bishop 1999) with a deviation for each pixel, fitted to a public source in an instant.

    A guide that lies g from the mean becomes sqrt(1 - s^2) g + s d at the strength s, d being what is drawn: as far from the mean as
    pictures of the class are, at any strength.
    """

    source: Annotated[str, Field(json_schema_extra=PLACE, description="data.source of public pictures that it is fitted to")] = "digits"
    split: Annotated[str | None, Field(description="split of a hub data set")] = None
    provenance: Annotated[
        Literal["public"] | None,
        Field(description="public: anybody may see the pictures of the source; null: public for the demos and the hub"),
    ] = None
    directions: Annotated[int, Field(ge=0, description="principal directions of each class")] = 6

    @property
    def at_once(self) -> int:
        return 64

    def check(self, labels: Sequence[str]) -> None:
        known = {one.label for one in described(self._pictures().records)}
        for label in labels:
            if label not in known:
                raise DataError(f"generator.source: {self.source} has no picture of the class '{label}'{nearest(label, known)}")

    def identity(self) -> Mapping[str, Any]:
        return {"kind": "principal", "version": 1, "source": self._pictures().sha256, "directions": self.directions}

    def made(self, wishes: Sequence[Wish], size: tuple[int, int, int], strength: float, lent: dict[str, Any]) -> Iterator[np.ndarray]:
        own, classes = self._fitted(lent)
        for wish in wishes:
            about = classes[wish.label]
            offset = about.drawn(numpy_stream(wish.seed, "picture"))
            if wish.guide is not None:
                guide = _vectors([wish.guide], own)[0] - about.mean
                offset = np.sqrt(1 - strength**2) * guide + strength * offset
            pixels = torch.from_numpy((about.mean + offset).clip(0, 1).reshape(1, own[2], *own[:2]))
            yield as_arrays(fitted(pixels.float(), size))[0]

    def _pictures(self) -> SourceData:
        data = DataRecipe(source=self.source, split=self.split, provenance=self.provenance)
        return public_pictures(data, 0, "generator.source", "generator.provenance: public")

    def _fitted(self, lent: dict[str, Any]) -> tuple[tuple[int, int, int], dict[str, ClassPictures]]:
        """The size of the source's first picture, into which the others are fitted, and what is known of each class."""
        key = f"principal {asdict(self)}"
        if key not in lent:
            found: dict[str, list[Picture]] = {}
            for picture in self._pictures().records:
                found.setdefault(picture.label, []).append(picture)  # type: ignore[arg-type]
            size = next(iter(found.values()))[0].pixels.shape
            lent[key] = size, {label: ClassPictures.of(_vectors(own, size), self.directions) for label, own in found.items()}
        fitted_before: tuple[tuple[int, int, int], dict[str, ClassPictures]] = lent[key]
        return fitted_before


def _vectors(pictures: Sequence[Picture], size: tuple[int, int, int]) -> np.ndarray:
    """float64 (rows, channels x height x width), values from 0 to 1."""
    return as_tensors(pictures, size).flatten(1).double().numpy()
