"""Triangle meshes, and the layers that a dressed person is made of."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

LAYERS = ("body", "hair", "upper", "lower", "shoes")
"""The layers of a person, in the order from inside to outside. The class of the parsing with the number i + 1 becomes layer i: bare skin
is seen of the body."""


@dataclass(frozen=True, eq=False)
class Mesh:
    """`vertices` float64 (n, 3) in metres, `faces` int64 (m, 3), counter-clockwise seen from outside. `colours` float32 (n, 3), red, green
    and blue from 0 to 1, or null."""

    vertices: np.ndarray = field(repr=False)
    faces: np.ndarray = field(repr=False)
    colours: np.ndarray | None = field(default=None, repr=False)

    @property
    def face_normals(self) -> np.ndarray:
        """(m, 3), of length twice the area of the face."""
        a, b, c = (self.vertices[self.faces[:, i]] for i in range(3))
        return np.cross(b - a, c - a)

    @property
    def edges(self) -> np.ndarray:
        """int64 (e, 2): every edge once, the smaller number first."""
        corners = np.concatenate([self.faces[:, [0, 1]], self.faces[:, [1, 2]], self.faces[:, [2, 0]]])
        return np.unique(np.sort(corners, axis=1), axis=0)

    @property
    def border_edges(self) -> np.ndarray:
        """int64 (e, 2): the edges of one face alone, in the face's direction."""
        corners = np.concatenate([self.faces[:, [0, 1]], self.faces[:, [1, 2]], self.faces[:, [2, 0]]])
        _, first, counts = np.unique(np.sort(corners, axis=1), axis=0, return_index=True, return_counts=True)
        return corners[first[counts == 1]]

    @property
    def normals(self) -> np.ndarray:
        """Unit normals of the vertices, (n, 3): the mean of those of the faces around, weighed by their areas. 0 where there is no face."""
        found = np.zeros_like(self.vertices)
        normals = self.face_normals
        for corner in range(3):
            np.add.at(found, self.faces[:, corner], normals)
        return unit(found)

    def part(self, faces: np.ndarray) -> Mesh:
        """The mesh of `faces`, given by bool (m,) or by numbers, without the vertices that none of them has."""
        used, numbers = np.unique(self.faces[faces], return_inverse=True)
        colours = None if self.colours is None else self.colours[used]
        return Mesh(self.vertices[used], numbers.reshape(-1, 3), colours)


def unit(vectors: np.ndarray) -> np.ndarray:
    """`vectors` (..., 3) at length 1; those of length 0 as they are."""
    lengths = np.linalg.norm(vectors, axis=-1, keepdims=True)
    found: np.ndarray = vectors / np.where(lengths > 0, lengths, 1.0)
    return found
