"""A layer of a dressed person as it is handed out: its mesh, what it looks like, and which parts of it no photograph shows."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from fedloom.humans.mesh import Mesh


@dataclass(frozen=True, eq=False)
class Texture:
    """`image` uint8 (size, size, 3), and `uv` float64 (m, 3, 2): where in it each corner of each face lies, from 0 to 1, from the left and
    from the top (as in glTF). `inferred` bool (size, size): texels that no photograph shows."""

    uv: np.ndarray = field(repr=False)
    image: np.ndarray = field(repr=False)
    inferred: np.ndarray = field(repr=False)


@dataclass(frozen=True, eq=False)
class PaintedLayer:
    """`mesh` looks as `texture` says, else as its own colours do. `inferred` bool (n,): vertices that no photograph shows; null: none."""

    mesh: Mesh
    texture: Texture | None = None
    inferred: np.ndarray | None = field(default=None, repr=False)

    @property
    def inferred_share(self) -> float:
        """The share of the vertices that no photograph shows."""
        return 0.0 if self.inferred is None or not len(self.inferred) else float(self.inferred.mean())
