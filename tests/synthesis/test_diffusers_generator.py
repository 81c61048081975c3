"""The generator `diffusers`, over a tiny random Stable Diffusion that is built here."""

import json
import sys
from dataclasses import replace

import huggingface_hub.constants
import numpy as np
import pytest
import torch

from fedloom.data.records import Picture, Provenance
from fedloom.errors import MissingExtraError, ModelError
from fedloom.models.pipelines import load_pipeline
from fedloom.synthesis.generators.diffusers import DiffusersGenerator
from fedloom.synthesis.picture_generator import Wish

diffusers = pytest.importorskip("diffusers")

SIZE = (12, 12, 3)
GUIDE = Picture(np.random.default_rng(1).integers(0, 255, (12, 12, 1), dtype=np.uint8), "cat", Provenance.PRIVATE)
WISHES = [Wish("cat", "a cat", seed, GUIDE if seed % 2 else None) for seed in range(3)]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Two blocks of each network, pictures of 16 pixels, a vocabulary of letters."""
    from transformers import CLIPTextConfig, CLIPTextModel, CLIPTokenizer

    place = tmp_path_factory.mktemp("pipeline")
    letters = "abcdefghijklmnopqrstuvwxyz"
    words = [*letters, *(f"{letter}</w>" for letter in letters), "<|startoftext|>", "<|endoftext|>"]
    (place / "vocab.json").write_text(json.dumps({word: number for number, word in enumerate(words)}))
    (place / "merges.txt").write_text("#version: 0.2\n")
    torch.manual_seed(1)
    widths = (8, 16)
    networks = {
        "vae": diffusers.AutoencoderKL(
            block_out_channels=widths,
            down_block_types=("DownEncoderBlock2D",) * 2,
            up_block_types=("UpDecoderBlock2D",) * 2,
            norm_num_groups=4,
            sample_size=16,
        ),
        "unet": diffusers.UNet2DConditionModel(
            sample_size=8,
            block_out_channels=widths,
            layers_per_block=1,
            down_block_types=("CrossAttnDownBlock2D", "DownBlock2D"),
            up_block_types=("UpBlock2D", "CrossAttnUpBlock2D"),
            cross_attention_dim=16,
            attention_head_dim=4,
            norm_num_groups=4,
        ),
        "text_encoder": CLIPTextModel(
            CLIPTextConfig(
                vocab_size=len(words),
                hidden_size=16,
                intermediate_size=16,
                num_hidden_layers=1,
                num_attention_heads=2,
                max_position_embeddings=16,
                bos_token_id=len(words) - 2,
                eos_token_id=len(words) - 1,
            )
        ),
    }
    tokenizer = CLIPTokenizer.from_pretrained(place, model_max_length=16)
    scheduler = diffusers.DDIMScheduler(beta_schedule="scaled_linear", clip_sample=False, steps_offset=1)
    no_checker = {"safety_checker": None, "feature_extractor": None, "requires_safety_checker": False}
    pipeline = diffusers.StableDiffusionPipeline(tokenizer=tokenizer, scheduler=scheduler, **networks, **no_checker)
    pipeline.save_pretrained(place / "tiny-diffusion")
    return place / "tiny-diffusion"


@pytest.fixture(scope="module")
def lent():
    return {}


@pytest.fixture
def made(folder, lent):
    def make(wishes, size=SIZE, strength=0.5, **settings):
        chosen = {"steps": 3, "dtype": "float32", "device": "cpu"} | settings
        return list(DiffusersGenerator(model=str(folder), **chosen).made(wishes, size, strength, lent))

    return make


def distance(first, second):
    return float(np.abs(np.asarray(first) - np.asarray(second)).max())


def test_pictures_come_in_the_order_of_the_wishes_and_in_the_wanted_size(made):
    found = made(WISHES)
    assert [(array.shape, array.dtype.name) for array in found] == [(SIZE, "float32")] * 3
    assert all(array.min() >= 0 and array.max() <= 1 for array in found)
    assert distance(made(WISHES, batch_size=1), found) < 1e-3
    assert np.array_equal(made(WISHES), found)
    assert made(WISHES[:1], (5, 9, 1))[0].shape == (5, 9, 1)


def test_the_prompt_the_seed_and_the_guidance_decide(made):
    first = made([Wish("cat", "a cat", 1)])
    assert distance(first, made([Wish("cat", "a dog in the rain", 1)])) > 1e-3
    assert distance(first, made([Wish("cat", "a cat", 2)])) > 1e-2
    assert distance(first, made([Wish("cat", "a cat", 1)], guidance=1.0)) > 1e-3
    assert np.array_equal(first, made([Wish("dog", "a cat", 1)]))


def test_it_draws_at_the_side_that_is_asked_for(made, monkeypatch, lent):
    (pipeline,) = lent.values()
    seen = []
    call = type(pipeline.from_text).__call__
    monkeypatch.setattr(type(pipeline.from_text), "__call__", lambda self, **given: seen.append(given["height"]) or call(self, **given))
    made(WISHES[:1])
    made(WISHES[:1], size=(4, 4, 3))
    list(
        DiffusersGenerator(model=pipeline.from_text.name_or_path, size=32, steps=1, dtype="float32", device="cpu").made(
            WISHES[:1], SIZE, 0.5, lent
        )
    )
    assert seen == [16, 16, 32]


@pytest.mark.parametrize(("strength", "steps"), [(0.5, 3), (0.1, 3), (1.0, 1)])
def test_a_guide_of_any_strength_is_drawn_in_one_step_at_least(made, strength, steps):
    (found,) = made([Wish("cat", "a cat", 1, GUIDE)], strength=strength, steps=steps)
    assert np.isfinite(found).all()


def test_a_guide_is_itself_at_strength_0_and_decides_above_it(made):
    guided = [Wish("cat", "a cat", 1, GUIDE)]
    assert distance(made(guided, strength=0.0)[0], np.repeat(GUIDE.pixels, 3, axis=2) / 255) < 1e-6
    other = Picture(255 - GUIDE.pixels, "cat", Provenance.PRIVATE)
    assert distance(made(guided, strength=0.3), made([Wish("cat", "a cat", 1, other)], strength=0.3)) > 1e-3


def test_both_forms_share_their_networks_and_lcm_brings_its_own_steps(folder):
    pipeline = load_pipeline(folder, "float32", torch.device("cpu"), "lcm")
    assert pipeline.from_picture.unet is pipeline.from_text.unet
    assert type(pipeline.from_picture.scheduler).__name__ == type(pipeline.from_text.scheduler).__name__ == "LCMScheduler"
    assert pipeline.side == 16


def test_lcm_draws_with_and_without_a_guide(folder):
    generator = DiffusersGenerator(model=str(folder), steps=2, guidance=1.0, scheduler="lcm", dtype="float32", device="cpu")
    assert all(np.isfinite(array).all() for array in generator.made(WISHES, SIZE, 0.6, {}))


def test_its_identity_is_its_weights_and_what_changes_a_picture(folder, tmp_path):
    own = DiffusersGenerator(model=str(folder))
    (tmp_path / folder.name).symlink_to(folder)
    assert own.identity() == DiffusersGenerator(model=str(tmp_path / folder.name), batch_size=2, device="cpu").identity()
    assert own.identity() != DiffusersGenerator(model=str(folder), guidance=2.0).identity()
    assert own.identity() != DiffusersGenerator(model=str(folder), scheduler="lcm").identity()


def test_a_model_that_is_not_there_is_named(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    for model, said in (
        (str(tmp_path), r"has no model_index.json; name a folder that a pipeline of diffusers was saved in"),
        (str(tmp_path / "gone"), r"gone: no such folder; name a folder with a pipeline of diffusers, or its id on the hub"),
        ("nobody/has-this", r"nobody/has-this: is not on this machine and cannot be fetched from the hub"),
    ):
        with pytest.raises(ModelError, match=said):
            DiffusersGenerator(model=model).check(["cat"])
    assert capsys.readouterr().err == "fetching the pipeline nobody/has-this from the hub, once\n"


def test_a_prompt_that_is_too_long_is_cut_without_a_word(made, capfd):
    made([Wish("cat", "a cat " * 50, 1)])
    assert capfd.readouterr() == ("", "")


def test_a_pipeline_that_cannot_begin_with_a_picture_says_so(made, lent):
    (pipeline,) = lent.values()
    with pytest.raises(ModelError, match="StableDiffusionPipeline: has no form that begins with a picture"):
        replace(pipeline, from_picture=None).drawn(["a cat"], torch.zeros(1, 3, 16, 16))


def test_a_damaged_pipeline_is_one_line(folder, tmp_path):
    (tmp_path / "model_index.json").write_text((folder / "model_index.json").read_text())
    with pytest.raises(ModelError, match=r"cannot be loaded \(.*; check that its files are complete and that it draws from text"):
        load_pipeline(tmp_path, "float32", torch.device("cpu"), None)


def test_without_the_library_the_extra_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "diffusers", None)
    with pytest.raises(MissingExtraError, match=r"generator.kind: diffusers needs diffusers.*pip install 'fedloom\[diffusion\]'"):
        DiffusersGenerator().check(["cat"])
