"""The field: at every point of space the signed distance to a person's surface, and what colour and which class of garment it shows.

Nothing of it belongs to one person: what it knows of a person is what the person's photographs show at the projections of the point.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn.functional import one_hot, relu

from fedloom.data.capture_rows import UNKNOWN, Views
from fedloom.models.networks.base import Network
from fedloom.models.radiance.encoder import Encoder, encoder_input
from fedloom.models.radiance.grid import DistanceGrid, Volume
from fedloom.models.radiance.hull import depth_maps, hull_distance, hull_of, silhouette_distances
from fedloom.models.radiance.hull_encoder import HullEncoder
from fedloom.models.radiance.person import Band
from fedloom.models.radiance.projection import Seen, looked_up, seen

REACH = 0.1
"""How far from the hull's distance the surface may lie, in metres: sdf(x) = h(x) + .1 tanh(delta(x))."""
OUTSIDE = 0.03
"""How far outside of the hull samples of rays are placed still, in metres: for the slope of the distance in front of the surface."""
CELL = 0.03
"""Metres between the points of the grid that the hull is kept on."""
SHARPNESS = 64.0
"""The inverse width of the surface, in 1 / m, that training begins with."""
GEOMETRY = 16
"""Numbers that say of a point what its views have in common."""
SHAPE = 12
"""Numbers that say how the hull is shaped around a point."""
BESIDE = 8
"""Numbers of a view of a point beside features and colours: direction (3), silhouette, how far behind the hull, far behind, inside, 1."""
COVERED = 0.02
"""The least share of the person in what the views show of a point: below, colours fade to black."""


@dataclass(frozen=True)
class Scene:
    """A person as a field knows it: source views, their features, colours with classes, hull, how it is shaped and its depths."""

    field: RadianceField
    views: Views
    features: Tensor
    shown: Tensor
    hull: DistanceGrid
    shape: Volume
    depths: Tensor

    @property
    def sharpness(self) -> Tensor:
        return self.field.sharpness

    @property
    def near(self) -> Band:
        return Band(self.hull, REACH, OUTSIDE)

    def sdf(self, points: Tensor) -> Tensor:
        return self.field.geometry(self, points).sdf

    def looks(self, points: Tensor, rays: Tensor) -> Tensor:
        return self.field.appearance(self, points, rays, self.field.geometry(self, points))


@dataclass(frozen=True)
class Geometry:
    """Of N points: `sdf` (N,) in metres, `common` (N, GEOMETRY), and for each of V views `tokens` (V, N, width) and `behind` (V, N), how
    far the point lies behind the hull in metres."""

    sdf: Tensor
    common: Tensor
    tokens: Tensor
    behind: Tensor
    where: Seen


class RadianceField(Network):
    """Blocks B, C and D of USR. `classes` are those of the parsing; `width` the channels of encoder and tokens.

    The last layer of the distance begins as zero: before any training the surface is the visual hull. The others begin small, so that the
    first steps do not move the surface by nearly `REACH`, where tanh is flat and gradients vanish.
    """

    gain = 0.4

    def __init__(self, classes: int, width: int = 24, hidden: int = 64, levels: int = 3) -> None:
        super().__init__()
        self.classes = classes
        self.encoder = Encoder(width, levels)
        self.token = nn.Sequential(nn.Linear(width + 3 + BESIDE, width), nn.ReLU(), nn.Linear(width, width), nn.ReLU())
        self.weight = nn.Linear(width, 1)
        self.hull_encoder = HullEncoder(width, SHAPE)
        self.joined = nn.Sequential(nn.Linear(2 * width + 1 + SHAPE, hidden), nn.ReLU(), nn.Linear(hidden, hidden), nn.ReLU())
        self.common = nn.Linear(hidden, GEOMETRY)
        self.head = nn.Linear(hidden, 1)
        self.blend_in = nn.Linear(width + GEOMETRY + 2, width)
        self.blend_out = nn.Linear(width, 1)
        self.sharpening = nn.Parameter(torch.zeros(1))

    @property
    def sharpness(self) -> Tensor:
        """s of NeuS, the inverse standard deviation of the surface in 1 / m, (1,)."""
        return SHARPNESS * torch.exp(10 * self.sharpening)

    def scene(self, views: Views, cell: float = CELL) -> Scene:
        """What `views` of one person show."""
        features = self.encoder(encoder_input(views.pictures, views.masks))
        hull = hull_of(views, cell)
        return Scene(
            self, views, features, _shown(views, self.classes), hull, self.hull_encoder.around(views, hull), depth_maps(views, hull)
        )

    def geometry(self, scene: Scene, points: Tensor) -> Geometry:
        """The surface near `points` (N, 3)."""
        views, where = scene.views, seen(scene.views, points)
        away = points - views.centres[:, None]
        directions = away / away.norm(dim=2, keepdim=True)
        behind = where.depths - looked_up(scene.depths, where.places)[:, :, 0]
        silhouettes, inside = silhouette_distances(views, where), where.inside.float()
        beside = [
            directions,
            _columns(silhouettes / REACH, torch.tanh(behind / 0.05), (behind > REACH).float(), inside, torch.ones_like(inside)),
        ]
        tokens = self.token(torch.cat([looked_up(scene.features, where.places), looked_up(views.pictures, where.places), *beside], dim=2))
        weights = (self.weight(tokens)[:, :, 0].masked_fill(~where.inside, -30.0)).softmax(dim=0)[:, :, None]
        mean = (weights * tokens).sum(dim=0)
        variance = (weights * tokens.square()).sum(dim=0) - mean.square()
        distance = hull_distance(views, points, where)
        joined = self.joined(torch.cat([mean, variance, distance[:, None] / REACH, scene.shape.at(points)], dim=1))
        sdf = distance + REACH * torch.tanh(self.head(joined)[:, 0])
        return Geometry(sdf, self.common(joined), tokens, behind, where)

    def appearance(self, scene: Scene, points: Tensor, rays: Tensor, geometry: Geometry) -> Tensor:
        """Colours and probabilities of classes at `points` (N, 3), seen along the unit vectors `rays` (N, 3): (N, 3 + classes).

        Each is a blend of what the source views show there, with the same weights for both: softmax over the views of an MLP of the token
        of the view, what the views have in common, the cosine between ray and view, and how far the point lies behind the hull. A view
        counts as far as it shows the person there, and not what is behind.
        """
        away = points - scene.views.centres[:, None]
        cosines = (away / away.norm(dim=2, keepdim=True) * rays).sum(dim=2)
        common = geometry.common.expand(len(scene.views), -1, -1)
        told = _columns(cosines, torch.tanh(geometry.behind / 0.05))
        scores = self.blend_out(relu(self.blend_in(torch.cat([geometry.tokens, common, told], dim=2))))
        weights = scores.masked_fill(~geometry.where.inside[:, :, None], -30.0).softmax(dim=0)
        shown = (weights * looked_up(scene.shown, geometry.where.places)).sum(dim=0)
        return shown[:, 1:] / shown[:, :1].clamp(min=COVERED)


def _shown(views: Views, classes: int) -> Tensor:
    """The mask, colours, and one channel for each class, (V, 1 + 3 + classes, H, W), all 0 outside of the person; the background's is 0
    everywhere. Where the class of a pixel of the person is not known, all others are equally likely."""
    known = (views.parsing != UNKNOWN) & (views.parsing != 0)
    likely = one_hot(views.parsing.masked_fill(~known, 0), classes).permute(0, 3, 1, 2).to(views.masks)
    likely = torch.where(known[:, None], likely, 1 / (classes - 1)) * views.masks[:, None]
    likely[:, 0] = 0
    return torch.cat([views.masks[:, None], views.pictures, likely], dim=1)


def _columns(*values: Tensor) -> Tensor:
    return torch.stack(values, dim=-1)
