"""What of a model is trained: LoRA factors beside its frozen weights, or, without an adapter, all of its weights."""

from __future__ import annotations

from typing import Any

from fedloom.models.adapters import attach_lora
from fedloom.models.statistics import refuse_running_statistics
from fedloom.recipe import AdapterRecipe


def make_trainable(model: Any, adapter: AdapterRecipe | None, seed: int) -> Any:
    """`model` (changed in place) with the parameters that are trained, and only those, requiring gradients.

    With an `adapter` these are the factors of `attach_lora`. Without one they are all float parameters; weights that two layers share are
    one parameter. Raises ModelError for a model that keeps running statistics.
    """
    refuse_running_statistics(model)
    if adapter is not None:
        return attach_lora(model, adapter, seed)
    for parameter in model.parameters():
        parameter.requires_grad_(parameter.is_floating_point())
    return model
