"""The loss of every row by itself, as it is when nothing is trained: what audits compare."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from fedloom.tasks.base import Rows, Task

BATCH = 256
"""Rows that a task is given at once; it cuts them into parts that fit into memory."""


@torch.no_grad()
def row_losses(model: Any, task: Task, rows: Rows, indices: Sequence[int] | None = None) -> Tensor:
    """The loss of each of `rows`, or of those at the `indices`, in fp64 and in that order: of responses the mean over the row's own tokens,
    in nats.

    A task whose parts do not tell which rows they hold is asked for one row at a time.
    """
    found = torch.zeros(len(rows), dtype=torch.float64)
    wanted = list(range(len(rows)) if indices is None else indices)
    for start in range(0, len(wanted), BATCH):
        batch = wanted[start : start + BATCH]
        untold = set(batch)
        for part in task.losses(model, rows, batch):
            if part.rows:
                found[list(part.rows)] = part.each().double().cpu()
                untold -= set(part.rows)
        for row in sorted(untold):
            found[row] = sum(float(part.each().sum()) for part in task.losses(model, rows, [row]))
    return found[wanted]
