"""What a kind of model is: how it is built with its encoder, whether it talks, and how a whole one is written.

The kinds are registered by name. A task says which kind it trains, and `model.id` which model of that kind.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import torch

from fedloom.models.encoders import Encoder
from fedloom.recipe import DataRecipe, ModelRecipe
from fedloom.registry import Registry


@dataclass(frozen=True)
class BuiltModel:
    """A frozen model in evaluation mode with its `encoder`. `sha256` is the hash of its weights, `id` its name in a recipe or its path.

    Other programs load it by `base` at the `revision`: a hub id, or an absolute folder. `base` null: by its id.
    """

    model: Any
    encoder: Encoder
    device: torch.device
    sha256: str
    id: str
    base: str | None = None
    revision: str | None = None


class ModelKind:
    """One kind of model."""

    networks: ClassVar[tuple[str, ...]] = ()
    """Names of models that `build` makes by itself: a recipe does not take such a name for a local file or folder of that name."""

    takes_adapter: ClassVar[bool] = True
    """Whether LoRA factors can be trained beside its frozen weights."""

    takes_template: ClassVar[bool] = True
    """Whether its encoder turns conversations into text by a template."""

    unused: ClassVar[tuple[str, ...]] = ("running_statistics",)
    """Keys of a recipe's `model` that mean nothing to it: they are refused where they are set."""

    talks: ClassVar[bool] = False
    """Whether it answers in words, so that it can be sampled and chatted with."""

    def encoder(self, model: ModelRecipe, data: DataRecipe) -> Encoder | None:
        """The encoder of `model` by itself; None when it needs files of the model that are not on this machine yet."""
        raise NotImplementedError

    def build(self, model: ModelRecipe, data: DataRecipe, labels: Sequence[str] | None, seed: int) -> BuiltModel:
        """The model that `model` names, with an encoder for `data`. `labels` are those of its head, where it has one.

        `seed` draws what has no published weights. Raises ModelError, in one line, when the model cannot be had.
        """
        raise NotImplementedError

    def save(self, model: Any, encoder: Any, folder: Path) -> None:
        """Write the whole model into the empty `folder`, its weights in one file `models.save.MODEL_WEIGHTS`."""
        raise NotImplementedError

    def save_encoder(self, encoder: Any, folder: Path) -> None:
        """Write into `folder`, beside an adapter, what turns text into tokens. A kind whose records are no text writes nothing."""

    def answers(self, model: Any, encoder: Any, records: Sequence[Any], max_new_tokens: int, batch_size: int) -> list[str]:
        """What a kind that talks answers to each of `records`, greedily."""
        raise NotImplementedError

    def askable(self, records: Iterable[Any]) -> Iterator[Any]:
        """Of `records` those that a user can ask in one go, each without what follows the first answer."""
        raise NotImplementedError

    def shown(self, record: Any) -> tuple[str, str, str]:
        """(system turn, prompt, reference answer) of a record of `askable`, as a report shows them: what to ask to have it answered."""
        raise NotImplementedError


kinds: Registry[type[ModelKind]] = Registry("model kind", ModelKind)
