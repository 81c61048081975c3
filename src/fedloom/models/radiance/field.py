"""The field: at every point of space the signed distance to a person's surface, and what colour and which class of garment it shows.

Nothing of it belongs to one person: what it knows of a person is what the person's photographs show at the projections of the point.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn.functional import conv2d, relu

from fedloom.data.capture_rows import UNKNOWN, Views
from fedloom.models.networks.base import Network
from fedloom.models.radiance.encoder import Encoder, encoder_input
from fedloom.models.radiance.grid import DistanceGrid, Volume
from fedloom.models.radiance.hull import depth_maps, greatest, hull_of, silhouette_distances
from fedloom.models.radiance.hull_encoder import HullEncoder
from fedloom.models.radiance.person import Band
from fedloom.models.radiance.projection import looked_up, seen
from fedloom.models.radiance.window import Windows, windows

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
    """A person as a field knows it: source views, their features, colours with classes, hull, how it is shaped and its depths. Features
    and what is shown are of the `windows`, the rest is of whole pictures. The first layer of the tokens has been applied to features: what
    is linear may stand before what is looked up between pixels, and there are fewer pixels than points."""

    field: RadianceField
    views: Views
    windows: Windows
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
        return self.field.appearance(self, rays, self.field.geometry(self, points))


@dataclass(frozen=True)
class Geometry:
    """Of N points: `sdf` (N,) in metres, `common` (GEOMETRY, N), and for each of V views `tokens` (V, width, N), unit `directions`
    (V, 3, N) from the camera, `behind` (V, N), how far the point lies behind the hull in metres, `inside` bool (V, N), whether it is in
    the picture, and `places` (V, N, 2) in the window."""

    sdf: Tensor
    common: Tensor
    tokens: Tensor
    directions: Tensor
    behind: Tensor
    inside: Tensor
    places: Tensor


class RadianceField(Network):
    """Blocks B, C and D of USR. `classes` are those of the parsing; `width` the channels of encoder and tokens.

    The last layer of the distance begins as zero: before any training the surface is the visual hull. The others begin small, so that the
    first steps do not move the surface by nearly `REACH`, where tanh is flat and gradients vanish.
    """

    gain = 0.4

    def __init__(self, classes: int, width: int = 24, hidden: int = 64, levels: int = 3) -> None:
        super().__init__()
        self.classes, self.width = classes, width
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
        window, hull = windows(views.masks), hull_of(views, cell)
        pictures, masks = window.cut(views.pictures), window.cut(views.masks[:, None])[:, 0]
        first, _ = _linears(self.token)
        features = conv2d(self.encoder(encoder_input(pictures, masks)), first.weight[:, : self.width, None, None], first.bias)
        shown = _shown(pictures, masks, window.cut(views.parsing[:, None])[:, 0], self.classes)
        return Scene(self, views, window, features, shown, hull, self.hull_encoder.around(views, hull), depth_maps(views, hull))

    def geometry(self, scene: Scene, points: Tensor) -> Geometry:
        """The surface near `points` (N, 3)."""
        views, where = scene.views, seen(scene.views, points)
        places = scene.windows.places(where.places)
        away = points.T - views.centres[:, :, None]
        directions = away * away.square().sum(dim=1, keepdim=True).rsqrt()
        behind = where.depths - looked_up(scene.depths, where.places)[:, 0]
        silhouettes, inside = silhouette_distances(views, where), where.inside.float()
        known = [silhouettes / REACH, torch.tanh(behind / 0.05), (behind > REACH).float(), inside, torch.ones_like(inside)]
        beside = torch.cat([looked_up(views.pictures, where.places), directions, torch.stack(known, dim=1)], dim=1)
        first, second = _linears(self.token)
        hidden = relu(_plus(looked_up(scene.features, places), first.weight[:, self.width :], beside))
        tokens = relu(_linear(second, hidden))
        weights = _linear(self.weight, tokens).masked_fill(~where.inside[:, None], -30.0).softmax(dim=0)
        weighted = weights * tokens
        mean = weighted.sum(dim=0)
        variance = (weighted * tokens).sum(dim=0) - mean.square()
        distance = greatest(silhouettes, where)
        joined = torch.cat([mean, variance, distance[None] / REACH, scene.shape.at(points)])
        for layer in _linears(self.joined):
            joined = relu(_linear(layer, joined))
        sdf = distance + REACH * torch.tanh(_linear(self.head, joined)[0])
        return Geometry(sdf, _linear(self.common, joined), tokens, directions, behind, where.inside, places)

    def appearance(self, scene: Scene, rays: Tensor, geometry: Geometry) -> Tensor:
        """Colours and probabilities of classes at the points of `geometry`, seen along the unit vectors `rays` (N, 3): (N, 3 + classes).

        Each is a blend of what the source views show there, with the same weights for both: softmax over the views of an MLP of the token
        of the view, what the views have in common, the cosine between ray and view, and how far the point lies behind the hull. A view
        counts as far as it shows the person there, and not what is behind.
        """
        cosines = (geometry.directions * rays.T).sum(dim=1)
        told = torch.stack([cosines, torch.tanh(geometry.behind / 0.05)], dim=1)
        of_tokens, of_common, of_told = self.blend_in.weight.split([self.width, GEOMETRY, told.shape[1]], dim=1)
        common = torch.addmm(self.blend_in.bias[:, None], of_common, geometry.common)
        scores = _linear(self.blend_out, relu(_plus(_plus(common, of_tokens, geometry.tokens), of_told, told)))
        weights = scores.masked_fill(~geometry.inside[:, None], -30.0).softmax(dim=0)
        shown = (weights * looked_up(scene.shown, geometry.places)).sum(dim=0)
        return (shown[1:] / shown[:1].clamp(min=COVERED)).T


def _linears(layers: nn.Sequential) -> list[nn.Linear]:
    return [layer for layer in layers if isinstance(layer, nn.Linear)]


def _linear(layer: nn.Linear, values: Tensor) -> Tensor:
    """What a linear `layer` makes of (..., in, N): (..., out, N). Points come last, so that neighbours in memory are values of a kind."""
    offsets = layer.bias[:, None]
    return torch.addmm(offsets, layer.weight, values) if values.dim() == 2 else _plus(offsets, layer.weight, values)


def _plus(sums: Tensor, weight: Tensor, values: Tensor) -> Tensor:
    """`sums` and what the matrix `weight` (out, in) makes of `values` (V, in, N): (V, out, N)."""
    return torch.baddbmm(sums, weight.expand(len(values), -1, -1), values)


def _shown(pictures: Tensor, masks: Tensor, parsing: Tensor, classes: int) -> Tensor:
    """The mask, colours, and one channel for each class, (V, 1 + 3 + classes, H, W), all 0 outside of the person; the background's is 0
    everywhere. Where the class of a pixel of the person is not known, all others are equally likely."""
    known = (parsing != UNKNOWN) & (parsing != 0)
    likely = (parsing[:, None] == torch.arange(classes, device=parsing.device)[:, None, None]).to(masks)
    likely = torch.where(known[:, None], likely, 1 / (classes - 1)) * masks[:, None]
    likely[:, 0] = 0
    return torch.cat([masks[:, None], pictures, likely], dim=1)
