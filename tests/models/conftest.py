"""One cached tiny-llama for all tests of the model layer, and no way to a model hub."""

import huggingface_hub.constants
import pytest

from fedloom.models.load import load_model
from fedloom.recipe import ModelRecipe


@pytest.fixture(scope="session")
def model_home(tmp_path_factory):
    return tmp_path_factory.mktemp("home")


@pytest.fixture(autouse=True)
def offline(model_home, monkeypatch):
    monkeypatch.setenv("FEDLOOM_HOME", str(model_home))
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)


@pytest.fixture
def tiny():
    return load_model(ModelRecipe(id="tiny-llama", device="cpu"))
