"""A bench: one model with its trained parameters laid flat and its encoder. Sites take turns at it; nothing is copied per site."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from fedloom.models.encoders import Encoder
from fedloom.models.flat import FlatParameters
from fedloom.models.kinds import ModelKind, kinds
from fedloom.models.trainable import make_trainable
from fedloom.plugins import load_plugin
from fedloom.recipe import DataRecipe, ModelRecipe


@dataclass(frozen=True)
class BenchPlan:
    """What a bench is made from, in this process or in another: plain values only. `plugins` may register parts that it needs."""

    model: ModelRecipe
    kind: str
    labels: tuple[str, ...] | None
    data: DataRecipe
    seed: int
    plugins: Sequence[str] = ()


@dataclass(frozen=True)
class Bench:
    """`model` is trained in place through `parameters`.

    `recipe` says how it was loaded, `sha256` is the hash of the weights that it starts from, and `id` its name in the recipe or its path.
    Other programs load it by `base`, a hub id at the commit `revision` or an absolute folder. `base_parameters` counts the values of the
    model without what an adapter adds. `lent` holds further models that prepare steps load once for all clients of this machine, until all
    have prepared.
    """

    model: Any
    parameters: FlatParameters
    encoder: Encoder
    kind: ModelKind
    device: torch.device
    recipe: ModelRecipe
    sha256: str
    id: str
    base_parameters: int
    base: str
    revision: str | None
    lent: dict[str, Any] = field(default_factory=dict)


def make_bench(plan: BenchPlan) -> Bench:
    """Load the model and make it trainable. Raises ModelError or RecipeError in one line."""
    for plugin in plan.plugins:
        load_plugin(plugin, Path.cwd(), trusted=True)
    kind = kinds.get(plan.kind)()
    built = kind.build(plan.model, plan.data, plan.labels, plan.seed)
    base = sum(parameter.numel() for parameter in built.model.parameters())
    model = make_trainable(built.model, plan.model.adapter, plan.seed).eval()  # PEFT leaves its dropout on
    return Bench(
        model,
        FlatParameters(model),
        built.encoder,
        kind,
        built.device,
        plan.model,
        built.sha256,
        built.id,
        base,
        built.base or built.id,
        built.revision,
    )
