"""Training of the 2D parser on views whose parsing is known. What is drawn at a step depends on the seed and the step alone."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn.functional import cross_entropy, interpolate, max_pool2d

from fedloom.data.capture_pictures import colours_of, mask_of, parsing_of
from fedloom.data.records import PARSING, Capture, sha256_of_records
from fedloom.errors import DataError, FedloomError, RecipeError
from fedloom.humans.parser import Parser, cut, square_around, squares
from fedloom.humans.parser_net import STEP, ParserNet, draw_parser_net
from fedloom.streams import torch_stream

TURNED_COLOURS = 0.1
"""Standard deviation of what the matrix that mixes the colours of a picture differs by from the identity."""

BRIGHTNESS = 0.15
"""Standard deviation of the logarithm of a picture's brightness and of its gamma."""

AROUND = 7
"""Side in pixels of the square by which a mask is widened: what is learned is what the mask and its edge show."""

LONGEST = 1.0
"""Norm to which gradients are clipped."""


@dataclass(frozen=True)
class ParserTraining:
    """How a parser is trained."""

    steps: Annotated[int, Field(ge=1, description="optimiser steps")] = 1000
    batch_size: Annotated[int, Field(ge=1, description="pictures of a step")] = 8
    learning_rate: Annotated[float, Field(gt=0, description="highest learning rate of AdamW, which falls as a cosine")] = 2e-3
    size: Annotated[int, Field(ge=STEP, multiple_of=STEP, description="side of the squares around people in pixels")] = 192
    seed: Annotated[int, Field(ge=0, description="decides the first weights and what is drawn")] = 7


def train_parser(
    captures: Sequence[Capture], training: ParserTraining, folder: Path, tell: Callable[[int, float], None] = lambda step, loss: None
) -> Parser:
    """Train a parser on the views of `captures` that have a mask and a parsing, write it into `folder` and give it;
    `tell(step, loss)` after every step. Equal captures and settings give equal bytes.

    It has seen the captures and may hold something of them: its folder says whether they were private. Raises DataError without such views,
    RecipeError for a folder that is there.
    """
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise RecipeError(f"--out {folder}: exists already; choose another folder")
    rows = _rows(captures, training.size)
    net = ParserNet()
    draw_parser_net(net, training.seed)
    optimizer = torch.optim.AdamW(net.parameters(), training.learning_rate)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, training.steps)
    for step in range(training.steps):
        loss = rows.loss(net, training, step)
        if not torch.isfinite(loss):
            raise FedloomError(f"the loss is {float(loss.detach())} at step {step + 1}; lower learning_rate")
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(net.parameters(), LONGEST)
        optimizer.step()
        schedule.step()
        tell(step + 1, float(loss.detach()))
    parser = Parser(net.eval().requires_grad_(False), training.size, _facts(captures, rows, training))
    parser.save(folder)
    return parser


def _facts(captures: Sequence[Capture], rows: _Rows, training: ParserTraining) -> Mapping[str, Any]:
    trained_on = {
        "captures": len(captures),
        "views": len(rows.right),
        "provenance": sorted({str(capture.provenance) for capture in captures}),
        "sha256": sha256_of_records(captures),
    }
    return {"training": vars(training), "trained_on": trained_on}


@dataclass(frozen=True, eq=False)
class _Rows:
    """`inputs` uint8 (n, 4, size, size), colours and mask from 0 to 255; `right` uint8 (n, size, size), numbers of `PARSING`; `weights`
    (6,) of the classes."""

    inputs: Tensor
    right: Tensor
    weights: Tensor

    def loss(self, net: ParserNet, training: ParserTraining, step: int) -> Tensor:
        """The weighted cross-entropy of a step's pictures, as the mean over the pixels of the masks and of their edges."""
        stream = torch_stream(training.seed, "parser_step", step)
        chosen = torch.randint(len(self.right), (training.batch_size,), generator=stream)
        inputs, right = augmented(self.inputs[chosen].float() / 255, self.right[chosen].long(), stream)
        near = max_pool2d(inputs[:, 3:], AROUND, stride=1, padding=AROUND // 2)[:, 0]
        each = cross_entropy(net(inputs), right, self.weights, reduction="none")
        return (each * near).sum() / (self.weights[right] * near).sum()


def augmented(inputs: Tensor, right: Tensor, stream: torch.Generator) -> tuple[Tensor, Tensor]:
    """`inputs` (n, 4, s, s) and `right` (n, s, s), half of them mirrored, their colours mixed and their brightness changed. No class of
    `PARSING` has a side."""
    mirrored = torch.rand(len(inputs), generator=stream) < 0.5
    mix = torch.eye(3) + TURNED_COLOURS * torch.randn(len(inputs), 3, 3, generator=stream)
    gain, gamma = torch.exp(BRIGHTNESS * torch.randn(2, len(inputs), 1, 1, 1, generator=stream))
    inputs = torch.where(mirrored[:, None, None, None], inputs.flip(3), inputs)
    colours = torch.einsum("nij,njhw->nihw", mix, inputs[:, :3]).mul(gain).clamp(0, 1) ** gamma
    return torch.cat([colours, inputs[:, 3:]], dim=1), torch.where(mirrored[:, None, None], right.flip(2), right)


def _rows(captures: Sequence[Capture], size: int) -> _Rows:
    inputs, right = [], []
    for view in (view for capture in captures for view in capture.views):
        mask, parsing = mask_of(view), parsing_of(view)
        if mask is None or parsing is None or not mask.any():
            continue
        inputs.append((squares(colours_of(view), mask, size) * 255).round().byte())
        right.append(torch.from_numpy(_square_of(parsing, mask, size)))
    if not inputs:
        raise DataError("data.source: no view of the captures has both a mask and a parsing, which a parser learns from; add them")
    numbers = torch.stack(right)
    shares = torch.bincount(numbers.flatten().long(), minlength=len(PARSING)).double() / numbers.numel()
    weights = torch.where(shares > 0, shares.clamp_min(1e-3) ** -0.5, 0.0)
    return _Rows(torch.stack(inputs), numbers, (weights / weights.max()).float())


def _square_of(parsing: np.ndarray, mask: np.ndarray, size: int) -> np.ndarray:
    """The parsing of the square around the person, uint8 (size, size)."""
    values = torch.from_numpy(cut(parsing, square_around(mask)))[None, None].float()
    found: np.ndarray = interpolate(values, (size, size), mode="nearest-exact")[0, 0].byte().numpy()
    return found
