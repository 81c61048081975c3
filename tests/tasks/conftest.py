"""tiny-llama, as it is and with an adapter; and every registered task with a model and rows of its own."""

import pytest
import torch
from made_tasks import make

from fedloom.models.adapters import attach_lora
from fedloom.models.load import load_model
from fedloom.recipe import AdapterRecipe, ModelRecipe


@pytest.fixture
def tiny():
    return load_model(ModelRecipe(id="tiny-llama", device="cpu"))


@pytest.fixture
def adapted(tiny):
    """tiny-llama with an adapter that says something: B is not zero."""
    model = attach_lora(tiny.model, AdapterRecipe(rank=4), 1)
    stream = torch.Generator().manual_seed(2)
    for name, parameter in model.named_parameters():
        if "lora_B" in name:
            parameter.data.normal_(0.0, 0.05, generator=stream)
    return model


@pytest.fixture
def made(tmp_path):
    """A function from the name of a registered task, with settings, to what it needs for a real batch."""
    return lambda kind, **settings: make(kind, tmp_path, **settings)
