"""The 2D parser: which class of `PARSING` every pixel of a picture of a dressed person shows.

The square around the person's mask is scaled to the parser's size, so that it does not matter how large the person is seen.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor
from torch.nn.functional import interpolate

from fedloom.data.capture_pictures import colours_of, mask_of, parsing_of
from fedloom.data.records import PARSING, Capture
from fedloom.errors import DataError, ModelError
from fedloom.files import local_path, sha256_of, whole_folder, write_atomic
from fedloom.humans.parser_net import ParserNet
from fedloom.humans.segmentation_model import agreeing, open_segmentation
from fedloom.models.save import MODEL_WEIGHTS

CONFIG = "config.json"
KIND = "dressed_person_parser"

MARGIN = 0.1
"""Of the longer side of the person's box, left on either side of it."""


class Parses(Protocol):
    """What parses pictures: a `Parser`, or a `SegmentationModel`."""

    def parse(self, rgb: np.ndarray, mask: np.ndarray) -> np.ndarray:
        """Probabilities of `PARSING`, float32 (height, width, 6), of uint8 (height, width, 3) in which bool (height, width) is the person:
        outside of it all is background, inside nothing is."""
        ...


def parser_of(name: str) -> Parses:
    """The parser in a folder that `train_parser` wrote, else the model for semantic segmentation in a folder or of the hub. Raises
    ModelError."""
    return (
        Parser.of(local_path(name))
        if (local_path(name) / MODEL_WEIGHTS).is_file() and _is_ours(local_path(name))
        else open_segmentation(name)
    )


@dataclass(frozen=True, eq=False)
class Parser:
    """A trained parser. It looks at squares of `size` pixels. `facts`: how it was trained and on what."""

    net: ParserNet = field(repr=False)
    size: int
    facts: Mapping[str, Any] = field(default_factory=dict, repr=False)

    @classmethod
    def of(cls, folder: str | Path) -> Parser:
        """The parser in a folder. Raises ModelError for a folder that holds none, or is damaged."""
        path = local_path(folder)
        config = _config(path)
        weights = path / MODEL_WEIGHTS
        net = ParserNet()
        try:
            if sha256_of(weights) != config["sha256"]:
                raise ModelError(f"{weights}: is damaged, or another model's (its sha256 is not that of {CONFIG}); copy the folder again")
            net.load_state_dict(load(weights.read_bytes()))
        except (OSError, RuntimeError, SafetensorError) as error:
            raise ModelError(f"{weights}: cannot be read ({type(error).__name__}); copy the folder again") from None
        return cls(net.eval().requires_grad_(False), int(config["size"]), config["facts"])

    def save(self, folder: Path) -> None:
        """Write the parser into `folder`, in place of what is there. Equal weights and equal facts give equal bytes."""
        with whole_folder(folder) as whole:
            tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in self.net.state_dict().items()}
            write_atomic(whole / MODEL_WEIGHTS, save(tensors))
            config = {"kind": KIND, "classes": PARSING, "size": self.size, "sha256": sha256_of(whole / MODEL_WEIGHTS), "facts": self.facts}
            write_atomic(whole / CONFIG, json.dumps(config, indent=2, ensure_ascii=False) + "\n")

    def parse(self, rgb: np.ndarray, mask: np.ndarray) -> np.ndarray:
        """As `Parses` says. Raises DataError for a mask without a pixel."""
        left, top, side = square_around(mask)
        inputs = squares(rgb, mask, self.size)
        with torch.no_grad():
            probabilities = self.net(inputs[None]).softmax(dim=1)
        cut = interpolate(probabilities, (side, side), mode="bilinear", align_corners=False, antialias=True)[0].permute(1, 2, 0).numpy()
        height, width = mask.shape
        found = np.zeros((height, width, len(PARSING)), dtype=np.float32)
        rows, columns = (slice(max(0, start), min(start + side, length)) for start, length in ((top, height), (left, width)))
        found[rows, columns] = cut[rows.start - top : rows.stop - top, columns.start - left : columns.stop - left]
        return agreeing(found, mask)


def parsing_iou(parser: Parses, captures: Sequence[Capture]) -> dict[str, float]:
    """Class -> intersection over union of what `parser` sees in all views that have a mask and a parsing; classes that nobody has are left
    out."""
    both, either = np.zeros(len(PARSING)), np.zeros(len(PARSING))
    for view in (view for capture in captures for view in capture.views):
        mask, right = mask_of(view), parsing_of(view)
        if mask is None or right is None:
            continue
        seen = parser.parse(colours_of(view), mask).argmax(axis=2)
        for number in range(len(PARSING)):
            both[number] += ((seen == number) & (right == number)).sum()
            either[number] += ((seen == number) | (right == number)).sum()
    return {name: float(both[number] / either[number]) for number, name in enumerate(PARSING) if either[number]}


def square_around(mask: np.ndarray) -> tuple[int, int, int]:
    """left, top and side in pixels of the square around the person, which may reach out of the picture. Raises DataError for a mask without
    a pixel."""
    rows, columns = (np.flatnonzero(mask.any(axis=axis)) for axis in (1, 0))
    if not len(rows):
        raise DataError("a mask is empty: there is nobody to parse; check the capture with fedloom humans capture check")
    side = int(np.ceil(max(rows[-1] - rows[0] + 1, columns[-1] - columns[0] + 1) * (1 + 2 * MARGIN)))
    return int((columns[0] + columns[-1] + 1 - side) // 2), int((rows[0] + rows[-1] + 1 - side) // 2), side


def squares(rgb: np.ndarray, mask: np.ndarray, size: int) -> Tensor:
    """What the network sees of a picture: float32 (4, size, size), colours and mask of the square around the person, 0 to 1."""
    square = square_around(mask)
    colours = torch.from_numpy(np.stack([cut(rgb[:, :, channel], square) for channel in range(3)])).float() / 255
    both = torch.cat([colours, torch.from_numpy(cut(mask, square)).float()[None]])
    return interpolate(both[None], (size, size), mode="bilinear", align_corners=False, antialias=True)[0].clamp(0, 1)


def cut(values: np.ndarray, square: tuple[int, int, int]) -> np.ndarray:
    """The part (side, side) of `values` (height, width) in a square; what lies outside is 0."""
    left, top, side = square
    height, width = values.shape
    found = np.zeros((side, side), dtype=values.dtype)
    rows, columns = (slice(max(0, start), min(start + side, length)) for start, length in ((top, height), (left, width)))
    found[rows.start - top : rows.stop - top, columns.start - left : columns.stop - left] = values[rows, columns]
    return found


def _is_ours(path: Path) -> bool:
    try:
        return bool(json.loads((path / CONFIG).read_text(encoding="utf-8"))["kind"] == KIND)
    except (OSError, ValueError, KeyError, TypeError):
        return False


def _config(path: Path) -> Mapping[str, Any]:
    if not _is_ours(path):
        raise ModelError(f"{path}: holds no parser; make one with `fedloom humans capture train-parser SOURCE --out {path}`")
    found: dict[str, Any] = json.loads((path / CONFIG).read_text(encoding="utf-8"))
    if not {"size", "sha256", "facts"} <= found.keys() or tuple(found.get("classes", ())) != PARSING:
        raise ModelError(f"{path / CONFIG}: is damaged, or of another version; train the parser again")
    return found
