"""One thread, as every worker has, and tiny-llama from a cache of the tests' own."""

import pytest
import torch

from fedloom.models.adapters import attach_lora
from fedloom.models.load import load_model
from fedloom.recipe import AdapterRecipe, ModelRecipe


@pytest.fixture(autouse=True, scope="session")
def one_thread():
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="session")
def session_home(tmp_path_factory):
    return tmp_path_factory.mktemp("home")


@pytest.fixture(autouse=True)
def home(session_home, monkeypatch):
    monkeypatch.setenv("FEDLOOM_HOME", str(session_home))


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
