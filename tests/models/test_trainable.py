"""What is trained without an adapter: every float parameter, shared ones once, and nothing of it needs to be shared between workers."""

import pytest
import torch

from fedloom.errors import RecipeError
from fedloom.files import sha256_of
from fedloom.models.flat import FlatParameters
from fedloom.models.load import load_model
from fedloom.models.save import save_model
from fedloom.models.share import map_shared, write_shared
from fedloom.models.trainable import make_trainable
from fedloom.recipe import ModelRecipe
from fedloom.resolve import load_recipe
from fedloom.state import State

TOKENS = torch.arange(3, 60)[None]


def logits(model):
    with torch.no_grad():
        return model.eval()(input_ids=TOKENS).logits


def test_without_an_adapter_all_parameters_are_trained(tiny):
    model = make_trainable(tiny.model, None, seed=1)
    assert all(parameter.requires_grad for parameter in model.parameters())
    assert FlatParameters(model).layout.numel == sum(parameter.numel() for parameter in model.parameters())


def test_tied_weights_are_one_parameter_and_stay_tied(tiny):
    parameters = FlatParameters(make_trainable(tiny.model, None, seed=1))
    head, embedding = tiny.model.lm_head.weight, tiny.model.model.embed_tokens.weight
    assert [name for name in parameters.state() if "lm_head" in name or "embed_tokens" in name] == ["model.embed_tokens.weight"]
    assert head is embedding
    before = logits(tiny.model)
    parameters.load(parameters.state() * 1.5)
    assert torch.equal(head, embedding)
    assert not torch.equal(logits(tiny.model), before)


def test_the_gradient_of_tied_weights_is_the_sum_over_their_uses(tiny):
    model = make_trainable(tiny.model, None, seed=1)
    parameters = FlatParameters(model)
    model(input_ids=TOKENS).logits.square().mean().backward()
    parameters.gather()
    flat = State(parameters.layout, parameters.gradient.clone())["model.embed_tokens.weight"]
    again = load_model(ModelRecipe(id="tiny-llama", device="cpu")).model.requires_grad_(True)
    again(input_ids=TOKENS).logits.square().mean().backward()
    torch.testing.assert_close(flat, again.get_input_embeddings().weight.grad)


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_a_saved_model_says_the_same_and_equal_weights_give_equal_bytes(tmp_path, dtype):
    loaded = load_model(ModelRecipe(id="tiny-llama", device="cpu", dtype=dtype))
    parameters = FlatParameters(make_trainable(loaded.model, None, seed=1))
    parameters.load(parameters.state() * 1.25)
    for name in ("one", "two"):
        save_model(loaded.model, loaded.tokenizer, tmp_path / name)
    again = load_model(ModelRecipe(id=str(tmp_path / "one"), device="cpu", dtype=dtype))
    assert torch.equal(logits(again.model), logits(loaded.model))
    assert sha256_of(tmp_path / "one" / "model.safetensors") == sha256_of(tmp_path / "two" / "model.safetensors")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["one", "two"]


def test_workers_share_nothing_of_a_model_that_is_trained_whole(tiny, tmp_path):
    model = make_trainable(tiny.model, None, seed=1)
    before = logits(model)
    write_shared(model, tmp_path / "base.safetensors")
    map_shared(model, tmp_path / "base.safetensors")
    assert torch.equal(logits(model), before)


def test_quantised_weights_cannot_be_trained_whole():
    with pytest.raises(RecipeError, match="adapter: null trains all weights, which int8 does not allow; write quantization: null"):
        load_recipe("tiny", {"model.adapter": None, "model.quantization": "int8"})


def test_a_bare_key_switches_the_adapter_off_or_sets_its_rank():
    assert load_recipe("tiny", {"adapter": None}).model.adapter is None
    assert load_recipe("tiny", {"rank": 4}).model.adapter.rank == 4
