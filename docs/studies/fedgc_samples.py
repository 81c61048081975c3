"""The picture of the study of FedGC: public pictures, what the generator makes of each at several strengths, and of its class alone."""

from __future__ import annotations

from pathlib import Path

import matplotlib

matplotlib.use("Agg")

import matplotlib.pyplot as plt
import numpy as np

from fedloom.data.records import Picture
from fedloom.data.sources import load_records
from fedloom.recipe import DataRecipe
from fedloom.synthesis.generators.diffusion import DiffusionGenerator
from fedloom.synthesis.picture_generator import Wish

STRENGTHS = (0.3, 0.5, 0.7, 0.8, 0.9)
SEED = 1


def draw_samples(source: str, labels: tuple[str, ...], generator: Path, target: Path) -> None:
    """A column for each of `labels`: the first picture of it in `source`, what it guides at each strength, and one without a guide."""
    records = load_records(DataRecipe(source=source, provenance="public"), SEED).records
    guides = [next(one for one in records if one.label == label) for label in labels]
    made = DiffusionGenerator(model=str(generator))
    rows = [("a public picture", [guide.pixels / 255 for guide in guides])]
    rows += [(f"strength {strength:g}", _made(made, guides, strength, guided=True)) for strength in STRENGTHS]
    rows.append(("class alone", _made(made, guides, 1.0, guided=False)))
    figure, axes = plt.subplots(len(rows), len(labels), figsize=(0.8 * len(labels) + 1.2, 0.85 * len(rows)), dpi=150)
    for line, (title, pictures) in zip(axes, rows, strict=True):
        for place, picture, label in zip(line, pictures, labels, strict=True):
            place.imshow(np.clip(picture[:, :, 0], 0, 1), cmap="gray", vmin=0, vmax=1)
            place.set(xticks=[], yticks=[])
            if line is axes[0]:
                place.set_title(label, fontsize=7)
        line[0].set_ylabel(title, fontsize=7, rotation=0, ha="right", va="center")
    figure.tight_layout(pad=0.3)
    figure.savefig(target)
    plt.close(figure)


def _made(generator: DiffusionGenerator, guides: list[Picture], strength: float, guided: bool) -> list[np.ndarray]:
    wishes = [Wish(guide.label, "", SEED + place, guide if guided else None) for place, guide in enumerate(guides)]
    return list(generator.made(wishes, guides[0].pixels.shape, strength, {}))
