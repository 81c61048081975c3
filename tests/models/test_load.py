"""Loading base models: what comes back, and the one line that a user gets when it cannot be done."""

import contextlib
import json
import shutil
import warnings

import huggingface_hub.constants
import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import (
    AutoTokenizer,
    Gemma2Config,
    Gemma2ForCausalLM,
    GPT2Config,
    GPT2LMHeadModel,
    Qwen2Config,
    Qwen2ForCausalLM,
)
from transformers.utils import logging

from fedloom.errors import MissingExtraError, ModelError
from fedloom.files import sha256_of
from fedloom.models.adapters import attach_lora
from fedloom.models.catalogue import fetch
from fedloom.models.load import load_model
from fedloom.recipe import AdapterRecipe, ModelRecipe


def load(id, **settings):
    return load_model(ModelRecipe(id=str(id), device="cpu", **settings))


def refusal(id, **settings) -> str:
    with pytest.raises(ModelError) as caught:
        load(id, **settings)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def copy_of_tiny(tmp_path):
    return shutil.copytree(fetch("tiny-llama"), tmp_path / "model")


def test_a_model_comes_frozen_and_in_evaluation_mode(tiny):
    assert not tiny.model.training
    assert not any(parameter.requires_grad for parameter in tiny.model.parameters())
    assert tiny.device == torch.device("cpu")
    assert tiny.id == "tiny-llama"
    assert tiny.model.config._attn_implementation == "sdpa"


@pytest.mark.parametrize("dtype", ["float32", "bfloat16", "float16"])
def test_weights_come_in_the_dtype_of_the_recipe(dtype):
    assert {parameter.dtype for parameter in load("tiny-llama", dtype=dtype).model.parameters()} == {getattr(torch, dtype)}


def test_the_hash_names_the_weights_whatever_their_precision_or_place(tmp_path):
    folder = copy_of_tiny(tmp_path)
    expected = sha256_of(folder / "model.safetensors")
    assert load("tiny-llama").sha256 == load("tiny-llama", dtype="bfloat16").sha256 == load(folder).sha256 == expected


def test_a_changed_weight_changes_the_hash(tmp_path, monkeypatch):
    monkeypatch.setattr("fedloom.models.load.HASHED_BEFORE", 0)
    folder = copy_of_tiny(tmp_path)
    before = load(folder).sha256
    assert load(folder).sha256 == before
    tensors = load_file(folder / "model.safetensors")
    tensors["model.norm.weight"][0] += 1
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
    assert load(folder).sha256 != before


def test_a_local_model_is_named_by_its_absolute_folder(tmp_path, monkeypatch):
    copy_of_tiny(tmp_path)
    monkeypatch.chdir(tmp_path)
    assert load("./model").id == str((tmp_path / "model").resolve())


def test_a_tokenizer_without_pad_token_pads_with_eos(tmp_path):
    folder = copy_of_tiny(tmp_path)
    tokenizer = AutoTokenizer.from_pretrained(folder)
    tokenizer.pad_token = None
    tokenizer.save_pretrained(folder)
    assert load(folder).tokenizer.pad_token_id == tokenizer.eos_token_id


def test_loading_leaves_the_settings_of_transformers_alone():
    before = (logging.get_verbosity(), logging.is_progress_bar_enabled(), list(warnings.filters))
    load("tiny-llama")
    assert (logging.get_verbosity(), logging.is_progress_bar_enabled(), list(warnings.filters)) == before


def test_loading_writes_nothing_to_the_terminal(tmp_path, capfd):
    load(copy_of_tiny(tmp_path))
    assert capfd.readouterr() == ("", "")


def test_a_model_in_shards_loads_and_has_one_hash(tmp_path, tiny):
    tiny.model.save_pretrained(tmp_path, max_shard_size="200KB")
    tiny.tokenizer.save_pretrained(tmp_path)
    assert len(list(tmp_path.glob("model-*.safetensors"))) > 1
    loaded = load(tmp_path)
    assert all(torch.equal(a, b) for a, b in zip(loaded.model.parameters(), tiny.model.parameters(), strict=True))
    assert loaded.sha256 == load(tmp_path).sha256 != tiny.sha256


def test_a_hub_model_that_was_fetched_before_loads_without_network(tmp_path, tiny, monkeypatch):
    commit = "0123456789abcdef0123456789abcdef01234567"
    snapshot = tmp_path / "models--owner--name" / "snapshots" / commit
    shutil.copytree(fetch("tiny-llama"), snapshot)
    (tmp_path / "models--owner--name" / "refs").mkdir()
    (tmp_path / "models--owner--name" / "refs" / "main").write_text(commit)
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path))
    loaded = load("owner/name")
    assert (loaded.id, loaded.sha256) == ("owner/name", tiny.sha256)
    assert load("owner/name", revision=commit).sha256 == tiny.sha256


def test_gradient_checkpointing_is_on_when_asked_for():
    assert load("tiny-llama", gradient_checkpointing=True).model.is_gradient_checkpointing
    assert not load("tiny-llama").model.is_gradient_checkpointing


def test_gradients_reach_adapters_under_checkpointing_and_are_the_same():
    gradients = []
    for checkpointing in (False, True):
        model = attach_lora(load("tiny-llama", gradient_checkpointing=checkpointing).model, AdapterRecipe(rank=2), seed=1).train()
        tokens = torch.arange(3, 40)[None]
        model(input_ids=tokens, labels=tokens, use_cache=False).loss.backward()
        gradients.append({name: p.grad for name, p in model.named_parameters() if p.requires_grad})
    assert all(torch.allclose(gradients[0][name], gradients[1][name]) for name in gradients[0])


def test_a_folder_without_config_is_refused(tmp_path):
    assert refusal(tmp_path).startswith(f"{tmp_path}: has no config.json")


def test_a_folder_without_weights_is_refused(tmp_path):
    folder = copy_of_tiny(tmp_path)
    (folder / "model.safetensors").unlink()
    assert refusal(folder).startswith(f"{folder}: has no weights")


def test_a_folder_with_torn_weights_is_refused(tmp_path):
    folder = copy_of_tiny(tmp_path)
    weights = folder / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-100])
    assert "cannot be loaded" in refusal(folder)


def test_weights_that_lack_a_tensor_are_refused_instead_of_made_up(tmp_path):
    folder = copy_of_tiny(tmp_path)
    tensors = load_file(folder / "model.safetensors")
    del tensors["model.layers.1.mlp.up_proj.weight"]
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
    assert "lack 1 tensors of a llama model, 'model.layers.1.mlp.up_proj.weight' first" in refusal(folder)


def test_a_folder_without_tokenizer_is_refused(tmp_path):
    folder = copy_of_tiny(tmp_path)
    for path in folder.glob("tokenizer*"):
        path.unlink()
    assert "cannot be loaded" in refusal(folder)


def test_an_adapter_is_not_taken_for_a_model(tmp_path):
    (tmp_path / "adapter_config.json").write_text("{}")
    assert "is an adapter, not a model" in refusal(tmp_path)


def test_an_unknown_id_without_network_says_what_else_to_write():
    message = refusal("someone/some-model")
    assert message.startswith("someone/some-model: ")
    assert "fedloom models ls" in message
    assert "did you mean 'tiny-llama'?" in refusal("tiny-lama")


def test_a_path_that_is_no_folder_is_refused(tmp_path):
    assert "no such folder" in refusal(tmp_path / "nothing" / "here")
    assert "no such file" in refusal(tmp_path / "nothing.gguf")


def test_a_file_that_is_no_gguf_is_refused(tmp_path):
    (tmp_path / "a.gguf").write_bytes(b"<html>not found</html>")
    assert "is not a GGUF file" in refusal(tmp_path / "a.gguf")


def test_a_torn_gguf_is_refused(tmp_path):
    (tmp_path / "a.gguf").write_bytes(b"GGUF" + bytes([3, 0, 0, 0]))
    assert "cannot be loaded" in refusal(tmp_path / "a.gguf")


def test_a_device_that_is_not_there_is_refused():
    with pytest.raises(ModelError, match="'gpu' is no device"):
        load_model(ModelRecipe(id="tiny-llama", device="gpu"))
    if not torch.cuda.is_available():
        with pytest.raises(ModelError, match="there is no cuda:7 on this machine"):
            load_model(ModelRecipe(id="tiny-llama", device="cuda:7"))


def test_quantisation_without_cuda_is_refused():
    assert "model.quantization: nf4 needs a CUDA device, got cpu" in refusal("tiny-llama", quantization="nf4")


def test_quantisation_without_bitsandbytes_names_the_extra(monkeypatch):
    monkeypatch.setattr("fedloom.models.load.device_named", lambda name: torch.device("cuda"))
    monkeypatch.setitem(__import__("sys").modules, "bitsandbytes", None)
    with pytest.raises(MissingExtraError, match=r"pip install 'fedloom\[bitsandbytes\]'"):
        load("tiny-llama", quantization="int8")


FAMILIES = {
    "gpt2": lambda: GPT2LMHeadModel(GPT2Config(vocab_size=512, n_embd=32, n_layer=2, n_head=2, n_positions=128)),
    "qwen2": lambda: Qwen2ForCausalLM(
        Qwen2Config(vocab_size=512, hidden_size=32, intermediate_size=64, num_hidden_layers=2, num_attention_heads=4, num_key_value_heads=2)
    ),
    "gemma2": lambda: Gemma2ForCausalLM(
        Gemma2Config(
            vocab_size=512,
            hidden_size=32,
            intermediate_size=64,
            num_hidden_layers=2,
            num_attention_heads=4,
            num_key_value_heads=2,
            head_dim=8,
        )
    ),
}


@pytest.mark.parametrize("family", FAMILIES)
def test_other_families_load_take_adapters_and_generate(family, tmp_path):
    from fedloom.models.generate import generate

    with torch.random.fork_rng():
        torch.manual_seed(0)
        FAMILIES[family]().save_pretrained(tmp_path)
    AutoTokenizer.from_pretrained(fetch("tiny-llama")).save_pretrained(tmp_path)
    loaded = load(tmp_path)
    texts = ["a", "the people of the water"]
    alone = [generate(loaded.model, loaded.tokenizer, [text], 6, 1)[0] for text in texts]
    model = attach_lora(loaded.model, AdapterRecipe(rank=2), seed=1)
    assert generate(model, loaded.tokenizer, texts, 6, 2) == alone, "an adapter at its start should change nothing"
    tokens = torch.arange(3, 20)[None]
    model.train()(input_ids=tokens, labels=tokens).loss.backward()
    trained = {name: p for name, p in model.named_parameters() if p.requires_grad}
    assert all("lora_" in name for name in trained)
    assert all(p.grad is not None for p in trained.values())
    assert not any("lm_head" in name for name in trained)


@pytest.fixture
def theirs(tmp_path):
    """A model's folder with a program in it."""
    folder = tmp_path / "theirs"
    shutil.copytree(fetch("tiny-llama"), folder)
    (folder / "theirs.py").write_text("import pathlib\npathlib.Path(__file__).with_name('ran').touch()\n")
    return folder


def change(path, **keys):
    path.write_text(json.dumps(json.loads(path.read_text()) | keys))


def test_the_program_of_a_models_folder_is_not_run(theirs):
    maps = {"AutoConfig": "theirs.Config", "AutoModelForCausalLM": "theirs.Model"}
    change(theirs / "config.json", model_type="theirs", architectures=["Theirs"], auto_map=maps)
    with pytest.raises(ModelError, match=r"its files hold a program \(auto_map\), and no program of a model is run here"):
        load_model(ModelRecipe(id=str(theirs), device="cpu"))
    assert not list(theirs.parent.rglob("ran"))


def test_the_program_of_a_tokenizer_is_not_run(theirs):
    change(theirs / "tokenizer_config.json", auto_map={"AutoTokenizer": [None, "theirs.Tokenizer"]}, tokenizer_class="Theirs")
    with contextlib.suppress(ModelError):
        load_model(ModelRecipe(id=str(theirs), device="cpu"))
    assert not list(theirs.parent.rglob("ran"))
