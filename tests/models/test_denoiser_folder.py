"""A trained network as a folder."""

import json

import pytest
import torch

from fedloom.errors import ModelError
from fedloom.models.denoiser import draw_denoiser, empty_denoiser
from fedloom.models.denoiser_folder import open_denoiser, save_denoiser


@pytest.fixture
def saved(tmp_path):
    net = empty_denoiser((8, 8, 1), ["one", "two"])
    draw_denoiser(net, 1)
    save_denoiser(net, {"steps": 3}, {"rows": 5}, tmp_path / "model")
    return net, tmp_path / "model"


def test_a_folder_gives_back_the_network_and_says_what_it_was_trained_on(saved):
    net, folder = saved
    found = open_denoiser(folder)
    assert (found.labels, found.size, found.training, found.trained_on) == (("one", "two"), (8, 8, 1), {"steps": 3}, {"rows": 5})
    again = found.load()
    assert all(torch.equal(a, b) for a, b in zip(net.parameters(), again.parameters(), strict=True))
    assert not again.training


def test_weights_of_another_model_are_refused(saved):
    _, folder = saved
    other = empty_denoiser((8, 8, 1), ["one", "two"])
    draw_denoiser(other, 2)
    save_denoiser(other, {}, {}, folder.parent / "other")
    (folder / "model.safetensors").write_bytes((folder.parent / "other" / "model.safetensors").read_bytes())
    with pytest.raises(ModelError, match=r"model.safetensors: is damaged, or another model's"):
        open_denoiser(folder).load()


@pytest.mark.parametrize("content", [None, "{", "[]", json.dumps({"kind": "gpt"}), json.dumps({"kind": "class_conditional_diffusion"})])
def test_a_folder_that_holds_no_generator_is_named_with_the_command_that_makes_one(tmp_path, content):
    if content is not None:
        (tmp_path / "config.json").write_text(content)
    with pytest.raises(ModelError, match=r"holds no diffusion model; make one with `fedloom generate train SOURCE --out"):
        open_denoiser(tmp_path)
