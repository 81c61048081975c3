"""tiny-llama for all tests of the model layer, and no way to a model hub."""

import huggingface_hub.constants
import pytest

from fedloom.models.load import load_model
from fedloom.recipe import ModelRecipe


@pytest.fixture(autouse=True)
def offline(monkeypatch):
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)


@pytest.fixture
def tiny():
    return load_model(ModelRecipe(id="tiny-llama", device="cpu"))
