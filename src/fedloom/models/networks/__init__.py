"""The networks that need no files: built here, every weight drawn from the seed. Another one is a file beside these and an entry below."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import torch

from fedloom.models.networks.bag_of_words import BagOfWords
from fedloom.models.networks.base import Network, draw_weights
from fedloom.models.networks.convolutional import SmallCNN
from fedloom.models.networks.perceptron import Perceptron
from fedloom.models.networks.residual import ResidualNet
from fedloom.models.statistics import CarriedBatchNorm2d


@dataclass(frozen=True)
class NetworkEntry:
    """`make` builds the network for a number of labels."""

    description: str
    make: Callable[[int], Network]

    def empty(self, labels: int) -> Network:
        """The network with weights that are still to be set. PyTorch draws some when it makes a layer: not from the global generator."""
        with torch.random.fork_rng(devices=[]):
            return self.make(labels)

    def parameters(self, labels: int) -> int:
        """The number of its trained values."""
        return sum(parameter.numel() for parameter in self.empty(labels).parameters())


PICTURE_NETWORKS = {
    "cnn": NetworkEntry("three convolutions with GroupNorm, for small pictures", SmallCNN),
    "mlp": NetworkEntry("one hidden layer on 8 x 8 grey values", Perceptron),
    "resnet8": NetworkEntry("ResNet of 8 layers with GroupNorm, for small pictures", partial(ResidualNet, depth=1)),
    "resnet20": NetworkEntry("ResNet of 20 layers with GroupNorm, for small pictures", partial(ResidualNet, depth=3)),
    "resnet8-bn": NetworkEntry("ResNet of 8 layers with BatchNorm", partial(ResidualNet, depth=1, norm=CarriedBatchNorm2d)),
    "resnet20-bn": NetworkEntry("ResNet of 20 layers with BatchNorm", partial(ResidualNet, depth=3, norm=CarriedBatchNorm2d)),
}

TEXT_NETWORKS = {
    "bag-of-words": NetworkEntry("linear classifier of text on hashed words and word pairs", BagOfWords),
    "bag-of-words-4k": NetworkEntry("the same with 4,096 embeddings, for privacy and slow lines", partial(BagOfWords, embeddings=4096)),
}

__all__ = ["PICTURE_NETWORKS", "TEXT_NETWORKS", "Network", "NetworkEntry", "draw_weights"]
