"""A task of your own: supervised fine-tuning with smoothed labels (Szegedy et al. 2016, arXiv 1512.00567, section 7).

A share of every target goes evenly to all words of the vocabulary, so that a client with few rows grows less sure of them. Held-out loss
stays the plain cross entropy, and can be compared with that of `sft`. Run it from the top of the repository:

    fedloom run tiny plugins=[examples/own_task.py] task.kind=smoothed_sft task.smoothing=0.2
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from pydantic import Field
from torch import Tensor
from torch.nn.functional import cross_entropy

from fedloom import tasks


@tasks.register("smoothed_sft")
@dataclass(frozen=True)
class SmoothedSFT(tasks.SFT):
    """Cross entropy against (1 - s) one-hot + s uniform."""

    smoothing: Annotated[float, Field(ge=0, lt=1, description="s, the share of a target that goes to all words alike")] = 0.1

    def summed_loss(self, logits: Tensor, targets: Tensor) -> Tensor:
        return cross_entropy(logits, targets, reduction="sum", label_smoothing=self.smoothing)
