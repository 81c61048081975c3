"""How well a field shows people that it was not trained on: their surface and pictures of them, against the truth of synthetic captures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean
from time import process_time

import numpy as np
import torch

from fedloom.data.capture_rows import Views, views_of
from fedloom.data.captures import read_capture
from fedloom.data.records import PARSING
from fedloom.errors import DataError
from fedloom.humans.measures import MEASURES, class_ious, label_counts, psnr, ssim, surface_errors
from fedloom.humans.person_evaluation import visible_truth
from fedloom.humans.reconstruction import person_of, surface_of
from fedloom.humans.refinement import Refining
from fedloom.humans.truth import FACTS, read_truth
from fedloom.measures import SHARE, Measure
from fedloom.models.radiance.field import RadianceField
from fedloom.models.radiance.person import Person
from fedloom.streams import numpy_stream
from fedloom.tasks.radiance import rendered_pixels, split_views

SAMPLES = 24
"""Points of a ray at which the surface is looked for."""


@dataclass(frozen=True)
class Looking:
    """What a field is given and asked: `sources` views of a person, spread evenly; a surface on a grid of `voxel` metres, and pictures of
    up to `targets` of the other views. With `refining` the person is fitted to the sources first."""

    sources: int = 6
    targets: int = 2
    voxel: float = 0.015
    refining: Refining | None = None


SECONDS = Measure("seconds", "CPU time to the surface", "s", note="From photographs in memory to the mesh.")
SHOWN = ("p2s", "chamfer", "normal_consistency", "psnr_foreground", "psnr", "ssim", "layer_iou")


def field_measures() -> list[Measure]:
    """What `field_errors` tells, in its order."""
    layers = [Measure(f"iou/{name}", f"IoU of {name}", SHARE, "higher") for name in PARSING[1:]]
    return [*(measure for measure in MEASURES if measure.name in SHOWN), *layers, SECONDS]


def people_in(folder: Path) -> list[Path]:
    """The captures with truth in `folder`, a folder of people or one person's. Raises DataError where there is none."""
    found = [folder] if (folder / FACTS).is_file() else sorted(path.parent for path in folder.glob(f"*/{FACTS}"))
    if not found:
        raise DataError(f"{folder}: holds no capture with truth; make some with `fedloom humans capture synth`")
    return found


def field_errors(field: RadianceField, capture: Path, looking: Looking) -> dict[str, float]:
    """Every measure of one person, by its name; of a layer that no picture shows there is none. Raises DataError for a capture without
    truth or with no view beside the sources."""
    truth, views = visible_truth(read_truth(capture)), views_of(read_capture(capture))
    sources, targets = split_views(len(views), looking.sources, looking.targets)
    if not targets:
        raise DataError(f"{capture}: has {len(views)} views, and {looking.sources} of them are shown to the field; none is left to compare")
    begin = process_time()
    person = person_of(field, views.chosen(sources), looking.refining)
    surface = surface_of(person, looking.voxel)
    seconds = process_time() - begin
    errors = surface_errors(surface, truth.mesh, numpy_stream(0, "evaluate field"))
    found = {"p2s": errors.p2s, "chamfer": errors.chamfer, "normal_consistency": errors.normal_consistency}
    return {**found, **_of_pictures(person, views, targets), "seconds": seconds}


def mean_errors(people: Sequence[Mapping[str, float]]) -> list[tuple[Measure, float]]:
    """Each measure with its mean over the people who have it."""
    return [
        (measure, fmean(one[measure.name] for one in people if measure.name in one))
        for measure in field_measures()
        if any(measure.name in one for one in people)
    ]


def _of_pictures(person: Person, views: Views, targets: Sequence[int]) -> dict[str, float]:
    """PSNR and SSIM, means over the views `targets`, and the intersection over union of each class over all their pixels."""
    counts, values = np.zeros((len(PARSING), len(PARSING)), dtype=np.int64), []
    for target in targets:
        made, classes = _picture(person, views, target)
        true, mask = views.pictures[target].permute(1, 2, 0).numpy(), views.masks[target].numpy() > 0
        values.append((psnr(made, true, mask), psnr(made, true), ssim(made, true)))
        counts += label_counts(classes, views.parsing[target].numpy(), len(PARSING))
    means = dict(zip(("psnr_foreground", "psnr", "ssim"), np.mean(values, axis=0).tolist(), strict=True))
    ious = {name: float(value) for name, value in zip(PARSING[1:], class_ious(counts)[1:], strict=True) if not np.isnan(value)}
    return {**means, "layer_iou": fmean(ious.values()), **{f"iou/{name}": value for name, value in ious.items()}}


def _picture(person: Person, views: Views, target: int) -> tuple[np.ndarray, np.ndarray]:
    """Colours (height, width, 3) from 0 to 1 and the class of each pixel (height, width)."""
    height, width = views.size
    pixels = torch.cartesian_prod(torch.arange(height), torch.arange(width)).flip(1)
    seen = rendered_pixels(person, views, target, pixels, SAMPLES)
    classes = torch.where(seen.mask < 0.5, 0, seen.classes.argmax(dim=1))
    return seen.colours.clamp(0, 1).reshape(height, width, 3).detach().numpy(), classes.reshape(height, width).numpy()
