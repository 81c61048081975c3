"""Adapters: a start that depends on the seed alone, files that PEFT reads, merging."""

import json

import pytest
import torch
from peft import PeftModel, get_peft_model_state_dict
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM

from fedloom.errors import ModelError, RecipeError
from fedloom.files import sha256_of
from fedloom.local_run import bench_plan
from fedloom.models.adapters import attach_lora, load_adapter, merge, save_adapter
from fedloom.models.bench import make_bench
from fedloom.models.catalogue import fetch
from fedloom.models.load import load_model
from fedloom.recipe import AdapterRecipe, ModelRecipe
from fedloom.resolve import load_recipe
from fedloom.state import State

TOKENS = torch.arange(3, 60)[None]


def attached(seed=1, dtype="float32", **settings):
    return attach_lora(load_model(ModelRecipe(id="tiny-llama", device="cpu", dtype=dtype)).model, AdapterRecipe(**settings), seed)


def trained(model):
    return {name: parameter.detach() for name, parameter in model.named_parameters() if parameter.requires_grad}


def random_state(model):
    generator = torch.Generator().manual_seed(3)
    return State.of({name: torch.randn(p.shape, generator=generator) * 0.1 for name, p in trained(model).items()})


def put(model, state):
    parameters = dict(model.named_parameters())
    for name, tensor in state.items():
        parameters[name].data.copy_(tensor)
    return model


def logits(model):
    with torch.no_grad():
        return model.eval()(input_ids=TOKENS).logits


def test_the_start_depends_on_the_seed_alone():
    first = State.of(trained(attached(seed=1)))
    torch.manual_seed(99)
    before = torch.get_rng_state()
    assert State.of(trained(attached(seed=1))).equals(first)
    assert torch.equal(torch.get_rng_state(), before)
    assert not State.of(trained(attached(seed=2))).equals(first)


def test_a_layer_starts_the_same_whatever_other_layers_are_adapted():
    whole, part = trained(attached()), trained(attached(targets=["v_proj"]))
    assert len(part) < len(whole)
    assert all(torch.equal(tensor, whole[name]) for name, tensor in part.items())


def test_a_start_in_bf16_is_the_fp32_start_rounded():
    full, half = trained(attached()), trained(attached(dtype="bfloat16"))
    assert {tensor.dtype for tensor in half.values()} == {torch.bfloat16}
    assert all(torch.equal(half[name], full[name].bfloat16()) for name in full)


def test_b_is_zero_and_a_uniform_within_one_over_root_fan_in():
    for name, tensor in trained(attached()).items():
        if ".lora_B." in name:
            assert not tensor.any()
        else:
            bound = tensor.shape[1] ** -0.5
            assert tensor.abs().max() <= bound
            assert tensor.std() == pytest.approx(bound / 3**0.5, rel=0.1)


def test_only_adapters_are_trained():
    model = attached(targets=["q_proj", "v_proj"])
    assert len(trained(model)) == 2 * 2 * 2
    assert all("lora_" in name for name in trained(model))


def test_a_regular_expression_picks_layers_even_if_it_matches_their_blocks():
    names = trained(attached(targets=r".*layers\.1\.(self_attn|mlp).*"))
    assert len(names) == 7 * 2
    assert all("layers.1." in name for name in names)


def test_the_tied_output_layer_is_not_adapted():
    assert not any("lm_head" in name for name in trained(attached(targets=".*")))


@pytest.mark.parametrize(
    ("targets", "message"),
    [
        (["q_prj"], "has no layer 'q_prj'; did you mean [q_proj]?"),
        (["zzzz"], "its layers are called down_proj, gate_proj, k_proj"),
        ("q_proj", "matches no full layer name such as 'model.layers.0.self_attn.q_proj'; did you mean [q_proj]?"),
        ("(", "is not a regular expression"),
        ([], "is empty"),
    ],
)
def test_targets_that_are_not_there_are_answered_with_those_that_are(targets, message):
    with pytest.raises(RecipeError) as caught:
        attached(targets=targets)
    assert str(caught.value).startswith("model.adapter.targets: ")
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("targets", ["all-linear", ["q_proj", "down_proj"], r".*layers\.0\..*"])
def test_peft_loads_a_saved_adapter_with_equal_logits(tmp_path, targets):
    model = attached(rank=4, alpha=8, targets=targets)
    state = random_state(model)
    save_adapter(state, model, tmp_path, "tiny-llama")
    base = AutoModelForCausalLM.from_pretrained(fetch("tiny-llama"))
    start = logits(base)
    loaded = PeftModel.from_pretrained(base, tmp_path)
    assert torch.equal(logits(loaded), logits(put(model, state)))
    assert not torch.allclose(logits(loaded), start)


def test_the_file_is_the_one_peft_writes(tmp_path):
    model = put(attached(), random_state(attached()))
    save_adapter(trained(model), model, tmp_path / "ours", "tiny-llama")
    model.save_pretrained(tmp_path / "theirs")
    ours, theirs = (load_file(tmp_path / who / "adapter_model.safetensors") for who in ("ours", "theirs"))
    assert ours.keys() == theirs.keys() == get_peft_model_state_dict(model).keys()
    assert all(torch.equal(ours[name], theirs[name]) for name in ours)
    mine, peft = (json.loads((tmp_path / who / "adapter_config.json").read_text()) for who in ("ours", "theirs"))
    assert mine["base_model_name_or_path"] == "tiny-llama"
    assert mine.keys() == peft.keys()
    assert {key for key in mine if mine[key] != peft[key]} <= {"base_model_name_or_path", "target_modules"}


def test_equal_states_give_equal_bytes(tmp_path):
    for name in ("one", "two"):
        model = attached()
        save_adapter(random_state(model), model, tmp_path / name, "owner/model", revision="abc")
    for file in ("adapter_model.safetensors", "adapter_config.json"):
        assert sha256_of(tmp_path / "one" / file) == sha256_of(tmp_path / "two" / file)


def test_a_saved_adapter_comes_back_under_the_parameter_names(tmp_path):
    model = attached(dtype="bfloat16")
    state = random_state(model)
    save_adapter(state, model, tmp_path, "tiny-llama")
    loaded = load_adapter(tmp_path)
    assert loaded.keys() == state.keys()
    assert all(torch.equal(loaded[name], state[name]) for name in state)


def test_a_state_of_another_adapter_is_not_written(tmp_path):
    model = attached()
    state = dict(random_state(model))
    state.pop(next(iter(state)))
    with pytest.raises(ModelError, match="does not fit the model's adapter"):
        save_adapter(state, model, tmp_path / "adapter", "tiny-llama")
    assert not (tmp_path / "adapter").exists()


def test_a_folder_without_or_with_a_torn_adapter_is_refused(tmp_path):
    with pytest.raises(ModelError, match="holds no adapter"):
        load_adapter(tmp_path)
    model = attached()
    save_adapter(random_state(model), model, tmp_path, "tiny-llama")
    weights = tmp_path / "adapter_model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-5])
    with pytest.raises(ModelError, match="is damaged"):
        load_adapter(tmp_path)
    with pytest.raises(ModelError, match="is damaged"):
        merge("tiny-llama", tmp_path, tmp_path / "merged")


def test_a_merged_model_says_what_model_and_adapter_say(tmp_path):
    model = attached()
    state = random_state(model)
    save_adapter(state, model, tmp_path / "adapter", "tiny-llama")
    merge("tiny-llama", tmp_path / "adapter", tmp_path / "merged")
    merged = load_model(ModelRecipe(id=str(tmp_path / "merged"), device="cpu"))
    assert torch.allclose(logits(merged.model), logits(put(model, state)), atol=1e-5)
    assert merged.tokenizer.chat_template
    assert sorted(path.name for path in tmp_path.iterdir()) == ["adapter", "merged"]
    with pytest.raises(ModelError, match="exists; name a new folder"):
        merge("tiny-llama", tmp_path / "adapter", tmp_path / "merged")


def test_an_adapter_of_another_model_is_not_merged(tmp_path):
    model = attached()
    save_adapter(random_state(model), model, tmp_path / "adapter", "tiny-llama")
    weights = {name: torch.ones(3, 3) for name in load_file(tmp_path / "adapter" / "adapter_model.safetensors")}
    from safetensors.torch import save_file

    save_file(weights, tmp_path / "adapter" / "adapter_model.safetensors")
    with pytest.raises(ModelError, match="does not fit the model tiny-llama") as caught:
        merge("tiny-llama", tmp_path / "adapter", tmp_path / "merged")
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "merged").exists()


def test_a_bench_is_made_with_its_dropout_off():
    bench = make_bench(bench_plan(load_recipe("tiny", {"model.adapter.dropout": 0.5})))
    assert not any(module.training for module in bench.model.modules())
