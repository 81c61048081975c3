"""The smallest network for pictures: one hidden layer, 2,410 values with ten labels."""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn.functional import adaptive_avg_pool2d, relu

from fedloom.models.networks.base import Network

SIDE, HIDDEN = 8, 32


class Perceptron(Network):
    """Pictures (rows, channels, height, width) of any size, values in 0..1 -> scores (rows, labels).

    It sees 8 x 8 grey values, the mean of the channels averaged to that size: scikit-learn's digits as they are, of larger pictures little.
    """

    def __init__(self, labels: int) -> None:
        super().__init__()
        self.hidden = nn.Linear(SIDE * SIDE, HIDDEN)
        self.head = nn.Linear(HIDDEN, labels)

    def forward(self, x: Tensor) -> Tensor:
        grey = adaptive_avg_pool2d((2 * x - 1).mean(1), SIDE).flatten(1)
        scores: Tensor = self.head(relu(self.hidden(grey)))
        return scores
