import pytest

from fedloom.models.load import tokenizer_here
from fedloom.recipe import ModelRecipe


@pytest.fixture(scope="session")
def tiny_tokenizer():
    return tokenizer_here(ModelRecipe(id="tiny-llama"))
