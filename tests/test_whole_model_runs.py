"""A run without an adapter trains the whole model: what it hands out, and that it resumes and shares out to workers as any other."""

from __future__ import annotations

import pytest
import torch
from transformers import AutoModelForCausalLM
from typer.testing import CliRunner

from fedloom.chat import open_chat
from fedloom.cli.app import app
from fedloom.data.records import Turn
from fedloom.errors import RecipeError, RunStoppedError
from fedloom.federation.observer import Observer
from fedloom.files import sha256_of
from fedloom.models.catalogue import fetch
from fedloom.resolve import load_recipe
from fedloom.run import resume, run

SETTINGS = {"model.adapter": None, "rounds": 2, "per_round": 2, "evaluate.baselines": ["base"], "evaluate.samples": 1}
PROMPT = torch.tensor([[5, 9, 14, 21]])


class StopsInRoundTwo(Observer):
    def stage(self, name, total):
        if name == "round 2/2":
            raise KeyboardInterrupt


@pytest.fixture(scope="module", autouse=True)
def home(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("FEDLOOM_HOME", str(tmp_path_factory.mktemp("home")))
        yield


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    return run("tiny", tmp_path_factory.mktemp("runs") / "whole", **SETTINGS)


def test_the_run_folder_holds_a_whole_model_that_has_learnt(whole):
    assert whole.adapter_path == whole.folder / "model"
    assert not (whole.folder / "adapter").exists()
    assert whole.adapter_sha256 == sha256_of(whole.folder / "model" / "model.safetensors")
    assert whole.metrics["federated/loss"] < whole.metrics["base/loss"]


def test_the_model_loads_with_transformers_and_gives_the_logits_of_the_joined_state(whole):
    expected = AutoModelForCausalLM.from_pretrained(fetch("tiny-llama"))
    loaded = AutoModelForCausalLM.from_pretrained(whole.adapter_path)
    with torch.no_grad():
        before = expected(PROMPT).logits.clone()
        for name, parameter in expected.named_parameters():
            parameter.copy_(whole.state[name])
        assert torch.equal(loaded(PROMPT).logits, expected(PROMPT).logits)
        assert not torch.equal(loaded(PROMPT).logits, before)


@pytest.mark.parametrize("words", [[], ["--merge"]])
def test_an_export_is_the_whole_model_with_or_without_merge(whole, tmp_path, words):
    target = tmp_path / "exported"
    assert CliRunner().invoke(app, ["export", str(whole.folder), str(target), *words]).exit_code == 0
    assert sha256_of(target / "model.safetensors") == whole.adapter_sha256
    assert (target / "tokenizer.json").exists()


def test_chat_talks_to_the_tuned_model(whole):
    assert "".join(open_chat(whole.folder, 4, 0.0)([Turn("user", "hello")]))


def test_a_stopped_run_resumes_to_the_same_bytes(whole, tmp_path):
    with pytest.raises(RunStoppedError):
        run("tiny", tmp_path / "stopped", StopsInRoundTwo(), **SETTINGS)
    assert resume(tmp_path / "stopped").adapter_sha256 == whole.adapter_sha256


def test_worker_processes_end_in_the_same_bytes(whole, tmp_path):
    assert run("tiny", tmp_path / "workers", workers=2, **SETTINGS).adapter_sha256 == whole.adapter_sha256


def test_lora_aggregation_is_refused_before_anything_is_loaded():
    expected = r"algorithm\.aggregate: ffa joins LoRA factors, and model\.adapter is null; write average_factors"
    with pytest.raises(RecipeError, match=expected):
        load_recipe("tiny", {"model.adapter": None, "algorithm.aggregate": "ffa"})


def test_a_part_that_goes_with_few_rules_is_refused_before_anything_is_loaded():
    with pytest.raises(RecipeError, match="refactor goes with centralized, fedavg, fedprox, local only"):
        load_recipe("tiny", {"algorithm.name": "fedadam", "algorithm.aggregate": "refactor"})
