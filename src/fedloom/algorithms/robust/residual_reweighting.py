"""Residual-based reweighting (Fu et al. 2019, arXiv 1912.11464): updates that lie far from a robust line in many coordinates count less.

In every coordinate the n values y are set against their ranks x, and a repeated-median line (Siegel 1982) is drawn: its slope is
median_i median_(j != i) (y_j - y_i) / (x_j - x_i), and it passes through the medians of x and y. With the residuals r, their scale
s = 1.48 (1 + 5 / (n - 1)) median |r|, e = r / s and h the diagonal of the hat matrix of x, a value's confidence is that of iteratively
reweighted least squares, min(1, Z sqrt(1 - h) / |e|) with Z = lambda sqrt(2 / n). A value whose confidence is below the threshold is moved
onto the line. A client's weight is the sum over all coordinates of its confidence times the spread of the confidences there.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Any

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import Field
from torch import Tensor

from fedloom.algorithms.base import algorithms
from fedloom.algorithms.robust.all_at_once import AllAtOnce
from fedloom.algorithms.robust.order_statistics import Row, column_median, order_statistics, stretches

TINY = np.finfo(np.float32).tiny


@algorithms.register("residual_reweighting")
@dataclass
class ResidualReweighting(AllAtOnce):
    """IRLS on the repeated-median line. n_i does not count. Both variants are the same."""

    precondition = "n >= 3: a line through two points has no residuals"

    confidence: Annotated[float, Field(description="lambda, the width of the interval of full confidence", gt=0)] = 2.0
    threshold: Annotated[float, Field(description="confidence below which a value is moved onto the line", ge=0, le=1)] = 0.05

    @property
    def needs_clients(self) -> int:
        return 3

    def join(self, updates: Tensor, weights: Sequence[float], clients: Sequence[str]) -> Tensor:
        matrix, totals = updates.numpy(), np.zeros(len(updates))
        for columns in stretches(updates.shape[1]):
            values = matrix[:, columns]
            confidences, line = self._confidences(values)
            np.copyto(values, line, where=confidences < self.threshold)
            totals += confidences @ confidences.std(axis=0)
        if totals.sum() == 0:  # nobody stands out anywhere
            return updates.mean(dim=0)
        return torch.from_numpy(totals / totals.sum()).float() @ updates

    def _confidences(self, values: Row) -> tuple[Row, Row]:
        """The confidence in each of the `values`, shape (n, columns), and the line at their ranks."""
        n = len(values)
        ranked = np.stack(order_statistics(values, range(n)))
        slope, median = _repeated_median(ranked), np.float32(0.5) * (ranked[(n - 1) // 2] + ranked[n // 2])
        x = _ranks(values).astype(np.float32) - np.float32((n - 1) / 2)
        line = slope * x
        line += median
        residuals = values - line
        np.abs(residuals, out=residuals)
        scale = np.float32(1.48 * (1 + 5 / (n - 1))) * column_median(residuals)
        # 1 - h = 1 - 1/n - x^2 / sum_i x_i^2, the sum being n (n^2 - 1) / 12 for ranks about their mean
        x *= x
        x *= np.float32(-12 / (n * (n**2 - 1)))
        x += np.float32(1 - 1 / n)
        reach = np.sqrt(x, out=x)
        reach *= np.float32(self.confidence * np.sqrt(2 / n)) * scale
        on_line = residuals == 0  # also where most values lie on the line, so that the scale is 0
        np.maximum(residuals, TINY, out=residuals)
        confidences = np.divide(reach, residuals, out=reach)
        np.minimum(confidences, np.float32(1), out=confidences)
        np.copyto(confidences, np.float32(1), where=on_line)
        return confidences, line


def _repeated_median(ranked: Row) -> Row:
    """The slope of the repeated-median line through the points (i, ranked[i]), in each column."""
    n = len(ranked)
    return column_median([column_median(_slopes_from(i, ranked)) for i in range(n)])


def _slopes_from(i: int, ranked: Row) -> list[Row]:
    """The slopes from the point (i, ranked[i]) to the others, in each column."""
    return [(ranked[j] - ranked[i]) * np.float32(1 / (j - i)) for j in range(len(ranked)) if j != i]


def _ranks(values: Row) -> NDArray[Any]:
    """The rank of each value in its column, 0 being the smallest; of equal values the first row comes first."""
    small = np.int8 if len(values) < 128 else np.int16
    ranks = np.repeat(np.arange(len(values), dtype=small)[:, None], values.shape[1], axis=1)
    for i in range(len(values)):
        for j in range(i + 1, len(values)):
            earlier = np.less(values[j], values[i]).view(np.int8)
            ranks[i] += earlier
            ranks[j] -= earlier
    return ranks
