"""Classification of pictures: cross entropy of a network's scores, all of its weights trained."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from fedloom.data.pixels import PictureRows, cached_pictures, load_pictures
from fedloom.data.records import Picture
from fedloom.models.encoders import PictureEncoder
from fedloom.tasks.base import LossPart, Rows, Sums, tasks
from fedloom.tasks.classify import Labels, labelled_part, numbers_of_labels
from fedloom.tasks.likelihood import references

LARGEST_PART = {"cpu": 64, "cuda": 512, "mps": 256}
"""Pictures that go through the network together at the most, unless a batch is smaller."""


@tasks.register("classify_pictures")
@dataclass(frozen=True)
class ClassifyPictures(Labels):
    """Cross entropy of softmax(f(x)), f(x) the network's scores of picture x; mean over pictures."""

    record: ClassVar[str] = "picture"
    model_kind: ClassVar[str] = "picture_net"

    @property
    def labels_of_head(self) -> tuple[str, ...]:
        return self.labels

    def encode(self, records: Sequence[Picture], encoder: PictureEncoder, cache: Path) -> Path:
        return cached_pictures(records, numbers_of_labels(records, self.labels), cache)

    def load(self, path: Path) -> Rows:
        return load_pictures(path)

    def losses(self, model: nn.Module, rows: Rows, indices: Sequence[int]) -> Iterator[LossPart]:
        assert isinstance(rows, PictureRows)
        for part in _parts(model, indices):
            yield labelled_part(_scores(model, rows, part), rows.right, part, len(indices), len(part))

    @torch.no_grad()
    def evaluate(self, model: nn.Module, rows: Rows, groups: Sequence[int], batch_size: int) -> Sums:
        assert isinstance(rows, PictureRows)
        parts = _parts(model, references(groups), batch_size)
        return self.counted(((part, _scores(model, rows, part)) for part in parts), rows.right, groups)


def _parts(model: nn.Module, indices: Sequence[int], rows: int | None = None) -> list[Sequence[int]]:
    """`indices` in parts small enough for memory, of at most `rows` pictures."""
    most = LARGEST_PART.get(next(model.parameters()).device.type, LARGEST_PART["cpu"])
    most = min(most, rows or most)
    return [indices[start : start + most] for start in range(0, len(indices), most)]


def _scores(model: Any, rows: PictureRows, part: Sequence[int]) -> Tensor:
    """The scores of `part`, (pictures, labels) in fp32."""
    first = next(model.parameters())
    pixels = rows.batch(part).to(first.device, first.dtype)
    scores: Tensor = model(pixels).float()
    return scores
