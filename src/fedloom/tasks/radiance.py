"""Reconstruction of people from photographs: a field that is trained to show what cameras saw. One row is one person.

No part of the loss knows a surface: photographs, masks and parsing are all that it compares with (USR, arXiv 2302.10518).
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, ClassVar

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn.functional import binary_cross_entropy

from fedloom.data.capture_rows import UNKNOWN, CaptureRows, Views, cached_captures, load_captures
from fedloom.data.records import PARSING, Capture
from fedloom.measures import SHARE, Measure
from fedloom.models.encoders import PictureEncoder
from fedloom.models.radiance.field import RadianceField
from fedloom.models.radiance.person import Person
from fedloom.models.radiance.rays import rays_through
from fedloom.models.radiance.rendering import Rendered, render
from fedloom.tasks.base import LossPart, Rows, Sums, Task, tasks

AROUND = 6.0
"""Pixels around the person's mask from which rays are drawn, too."""
RIM = 3.0
"""Pixels on both sides of the edge of a source's mask from which rays are drawn."""
LEAST_GAP = 0.6
"""The least that the distance of a camera counts when sources are drawn."""
PROBED = 64
"""Points of the surface at which its slope and its bend are looked at in one step."""
STEP = 0.01
"""Metres between the points that slope and bend are computed from."""
MEASURED = 4
"""Views of a person that are compared with when it is measured, at the most."""
MOST_RAYS = 2048
"""Rays that are followed together when nothing is trained."""

PSNR_FOREGROUND = Measure(
    "psnr_foreground",
    "PSNR of the person",
    "dB",
    "higher",
    note="PSNR over the pixels of the person's mask, of views that the field did not see; the mean over views.",
)
PSNR = Measure("psnr", "PSNR", "dB", "higher", note="PSNR over whole pictures with a black background; the mean over views.")
MIOU = Measure(
    "miou", "mIoU of garments", SHARE, "higher", note="Intersection over union of the parsing, mean over classes but the background."
)
FIELD_LOSS = Measure(
    "loss", "held-out loss", note="Colours, mask and classes of the loss that is trained, on views that the field did not see."
)


@tasks.register("radiance")
@dataclass(frozen=True)
class Radiance(Task):
    """10 |C - C*|^2 + .3 BCE(mask) + .1 NLL(classes) + .02 (|grad sdf| - 1)^2 + .002 |laplace sdf| dx, means over rays and over points.

    dx is a centimetre: what counts is how much the slope changes over it. In every step `sources` views of a person, drawn anew and spread
    around it, show what the field knows of it, and rays of another view are compared. To this .6 BCE(mask) is added over a quarter as many
    pixels along the rim of one of the sources: the other views alone do not show that a surface has lost its rim.
    """

    record: ClassVar[str] = "capture"
    model_kind: ClassVar[str] = "field"
    measures: ClassVar[tuple[Measure, ...]] = (PSNR_FOREGROUND, PSNR, MIOU, FIELD_LOSS)
    why_untrainable: ClassVar[str] = "has no person to train on"

    batch_size: Annotated[int, Field(ge=1, le=1_000, description="people of one optimiser step")] = 1
    sources: Annotated[int, Field(ge=2, le=32, description="views of a person that the field sees")] = 6
    rays: Annotated[int, Field(ge=16, le=65_536, description="pixels of another view that are compared in one step")] = 512
    samples: Annotated[int, Field(ge=8, le=256, description="points of a ray at which the surface is looked for")] = 24

    @property
    def labels_of_head(self) -> tuple[str, ...]:
        return PARSING

    def encode(self, records: Sequence[Capture], encoder: PictureEncoder, cache: Path) -> Path:
        return cached_captures(records, encoder.size, self.sources + 1, cache)

    def load(self, path: Path) -> Rows:
        return load_captures(path)

    def losses(self, model: nn.Module, rows: Rows, indices: Sequence[int]) -> Iterator[LossPart]:
        assert isinstance(rows, CaptureRows)
        assert isinstance(model, RadianceField)
        for row in indices:
            loss = self._loss(model, rows.views(row).to(model.sharpening.device))
            yield LossPart(loss / len(indices), self.rays, loss[None].clone, [row])

    def _loss(self, field: RadianceField, views: Views) -> Tensor:
        """The loss of one person: of a drawn view, seen from others that are spread around, and of the rim of one of these."""
        sources = spread_views(views.centres, self.sources)
        others = [view for view in range(len(views)) if view not in sources]
        target = others[int(torch.randint(len(others), ()))]
        scene = field.scene(views.chosen(sources))
        return view_loss(scene, views, target, self.rays, self.samples) + rim_loss(scene, views, sources[0], self.rays // 4, self.samples)

    @property
    def sum_names(self) -> tuple[str, ...]:
        areas = (f"{kind}/{number}" for kind in ("intersection", "union") for number in range(1, len(PARSING)))
        return ("loss", "terms", "rows", "psnr", "psnr_foreground", *areas)

    @torch.no_grad()
    def evaluate(self, model: nn.Module, rows: Rows, groups: Sequence[int], batch_size: int) -> Sums:
        """Sums over views: of each person up to `MEASURED` views that are not among the `sources`, every second pixel."""
        assert isinstance(rows, CaptureRows)
        assert isinstance(model, RadianceField)
        sums = self.no_sums()
        for row in range(len(rows)):
            views = rows.views(row).to(model.sharpening.device)
            sources, targets = split_views(len(views), self.sources, MEASURED)
            scene = model.scene(views.chosen(sources))
            sums["rows"] += 1
            for target in targets:
                self._measure(scene, views, target, sums)
        return sums

    def _measure(self, person: Person, views: Views, target: int, sums: Sums) -> None:
        height, width = views.size
        pixels = torch.cartesian_prod(torch.arange(0, height, 2), torch.arange(0, width, 2)).flip(1).to(views.K.device)
        seen = rendered_pixels(person, views, target, pixels, self.samples)
        true, mask, classes = _shown(views, target, pixels)
        errors = (seen.colours.clamp(0, 1) - true).square().mean(dim=1)
        sums["loss"] += float(_compared(seen, views, target, pixels))
        sums["terms"] += 1
        sums["psnr"] += psnr(errors.mean())
        sums["psnr_foreground"] += psnr(errors[mask > 0].mean())
        known, found = classes != UNKNOWN, seen.classes.argmax(dim=1)
        found = torch.where(seen.mask < 0.5, 0, found)
        for number in range(1, len(PARSING)):
            one, other = (found == number) & known, (classes == number) & known
            sums[f"intersection/{number}"] += int((one & other).sum())
            sums[f"union/{number}"] += int((one | other).sum())

    def values(self, sums: Mapping[str, float]) -> dict[str, float]:
        shares = [sums[f"intersection/{n}"] / sums[f"union/{n}"] for n in range(1, len(PARSING)) if sums[f"union/{n}"]]
        return {
            "psnr_foreground": sums["psnr_foreground"] / max(sums["terms"], 1),
            "psnr": sums["psnr"] / max(sums["terms"], 1),
            "miou": sum(shares) / max(len(shares), 1),
            "loss": self.mean_loss(sums),
        }

    def plausible(self, sums: Mapping[str, float]) -> bool:
        whole = all(float(sums[name]).is_integer() for name in sums if name not in ("loss", "psnr", "psnr_foreground"))
        within = all(sums[f"intersection/{n}"] <= sums[f"union/{n}"] for n in range(1, len(PARSING)))
        few = sums["rows"] <= sums["terms"] <= MEASURED * sums["rows"]
        bounded = all(sums[name] <= LARGEST_PSNR * sums["terms"] for name in ("psnr", "psnr_foreground"))
        return whole and within and few and bounded and sums["loss"] <= LARGEST_FIELD_LOSS * sums["terms"]


LARGEST_PSNR = 100.0
"""The PSNR in dB that is given to pictures without any difference."""
LARGEST_FIELD_LOSS = 1e3


def psnr(error: Tensor) -> float:
    """-10 log10 of a mean squared error of values from 0 to 1, in dB; at most `LARGEST_PSNR`. An empty mean counts as no error."""
    value = float(error)
    return LARGEST_PSNR if not value > 10 ** (-LARGEST_PSNR / 10) else -10 * math.log10(value)


def split_views(views: int, sources: int, targets: int) -> tuple[list[int], list[int]]:
    """(numbers of `sources` views, evenly spread over all of them; up to `targets` of the others, evenly spread)."""
    sources_at = [number * views // sources for number in range(min(sources, views))]
    others = [number for number in range(views) if number not in sources_at]
    picked = min(targets, len(others))
    return sources_at, [others[number * len(others) // picked] for number in range(picked)]


def spread_views(centres: Tensor, count: int) -> list[int]:
    """The numbers of `count` cameras that are spread around, `centres` (V, 3); drawn from torch's global stream.

    Farthest-point sampling (Gonzalez 1985, "Clustering to minimize the maximum intercluster distance"): one is drawn, then always the one
    that stands farthest from those chosen. Each camera's distance counts `LEAST_GAP` to 1 times, by chance: else there would be no more
    choices than cameras, and in a ring of eight half of the views would never be compared.
    """
    factors = LEAST_GAP + (1 - LEAST_GAP) * torch.rand(len(centres)).to(centres)
    chosen = [int(torch.randint(len(centres), ()))]
    gaps = (centres - centres[chosen[0]]).norm(dim=1)
    while len(chosen) < count:
        gaps[chosen] = -1  # cameras may stand at the same place
        chosen.append(int((gaps * factors).argmax()))
        gaps = torch.minimum(gaps, (centres - centres[chosen[-1]]).norm(dim=1))
    return chosen


@torch.no_grad()
def rendered_pixels(person: Person, views: Views, target: int, pixels: Tensor, samples: int) -> Rendered:
    """What is seen at `pixels` (N, 2) of the view `target`, in parts that are small enough for memory."""
    parts = [render(person, rays_through(views, target, part), samples, even=True) for part in pixels.split(MOST_RAYS)]
    return Rendered(**{name: torch.cat([getattr(part, name) for part in parts]) for name in Rendered.__dataclass_fields__})


def view_loss(person: Person, views: Views, target: int, rays: int, samples: int) -> Tensor:
    """The loss of `person` in the view `target`, over `rays` of its pixels that torch's global stream draws."""
    pixels = _drawn_pixels(views, target, rays)
    seen = render(person, rays_through(views, target, pixels), samples)
    return _compared(seen, views, target, pixels) + _regular(person, seen)


def rim_loss(person: Person, views: Views, source: int, rays: int, samples: int) -> Tensor:
    """.6 BCE(mask) over `rays` pixels along the edge of the mask of the view `source`, which torch's global stream draws."""
    rim = views.silhouettes[source].abs() < RIM
    if not rim.any():  # the person fills the picture
        return views.K.new_zeros(())
    pixels = _drawn(rim, rays)
    return 2 * _of_masks(render(person, rays_through(views, source, pixels), samples), _shown(views, source, pixels)[1])


def _drawn_pixels(views: Views, target: int, count: int) -> Tensor:
    """`count` pixels (N, 2), column and row, of those within `AROUND` of the person; from torch's global stream."""
    return _drawn(views.silhouettes[target] < AROUND, count)


def _drawn(wanted: Tensor, count: int) -> Tensor:
    """`count` pixels (N, 2), column and row, of those that are `wanted`, bool (H, W)."""
    near = wanted.nonzero().flip(1)
    return near[torch.randint(len(near), (count,)).to(near.device)]


def _shown(views: Views, target: int, pixels: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """(colours (N, 3), mask (N,), classes (N,)) of the photograph."""
    column, row = pixels.unbind(dim=1)
    return views.pictures[target][:, row, column].T, views.masks[target][row, column], views.parsing[target][row, column]


def _compared(seen: Rendered, views: Views, target: int, pixels: Tensor) -> Tensor:
    """10 L2(colours) + .3 BCE(mask) + .1 NLL(classes), means over rays; the classes of the person's pixels alone."""
    colours, mask, classes = _shown(views, target, pixels)
    loss = 10 * (seen.colours - colours).square().mean() + _of_masks(seen, mask)
    told = (classes != UNKNOWN) & (mask > 0)
    likely = seen.classes.gather(1, classes.masked_fill(~told, 0)[:, None])[:, 0].clamp(min=1e-3)
    return loss - 0.1 * (likely.log() * told).sum() / told.sum().clamp(min=1)


def _of_masks(seen: Rendered, mask: Tensor) -> Tensor:
    return 0.3 * binary_cross_entropy(seen.mask.clamp(1e-4, 1 - 1e-4), mask)


def _regular(person: Person, seen: Rendered) -> Tensor:
    """.02 (|grad sdf| - 1)^2 + .002 |laplace sdf| dx at points of the surface, by differences over dx = `STEP`.

    Differences, since the second derivative of a bilinear look-up is not defined.
    """
    points = seen.surface[seen.mask > 0.5][:PROBED]
    if not len(points):
        return seen.mask.new_zeros(())
    steps = STEP * torch.cat([torch.eye(3), -torch.eye(3)]).to(points)
    around = person.sdf(torch.cat([points, (points + steps[:, None]).reshape(-1, 3)]))
    middle, ahead, behind = around[: len(points)], *around[len(points) :].reshape(2, 3, -1)
    slope = ((ahead - behind) / (2 * STEP)).square().sum(dim=0).clamp(min=1e-12).sqrt()
    bend = (ahead + behind - 2 * middle).sum(dim=0) / STEP**2
    return 0.02 * (slope - 1).square().mean() + 0.002 * (bend * STEP).abs().mean()
