"""The generator `diffusion`: what it makes of wishes, with and without a guide."""

import numpy as np
import pytest
import torch

from fedloom.data.digits import digits
from fedloom.data.records import Picture, Provenance
from fedloom.errors import ModelError
from fedloom.models.denoiser import draw_denoiser, empty_denoiser
from fedloom.models.denoiser_folder import save_denoiser
from fedloom.synthesis.generators.diffusion import DiffusionGenerator
from fedloom.synthesis.picture_generator import Wish

SIZE = (8, 8, 1)
GUIDE = Picture(digits().rows[3].columns["pixels"], "3", Provenance.PRIVATE)
WISHES = [Wish(str(seed % 10), "a digit", seed, GUIDE if seed % 3 == 0 else None) for seed in range(7)]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A model of digits that has learned nothing, so that it draws as it happens to."""
    target = tmp_path_factory.mktemp("generator") / "digits"
    net = empty_denoiser(SIZE, "0123456789")
    draw_denoiser(net, 1)
    torch.nn.init.normal_(net.head.weight, std=0.05, generator=torch.Generator().manual_seed(1))
    save_denoiser(net, {}, {}, target)
    return target


def made(folder, wishes, size=SIZE, strength=0.5, **settings):
    return list(DiffusionGenerator(model=str(folder), **{"steps": 4, "device": "cpu"} | settings).made(wishes, size, strength, {}))


def distance(first, second):
    return float(np.abs(np.asarray(first) - np.asarray(second)).max())


def test_pictures_are_in_the_order_of_the_wishes_and_of_the_wanted_size(folder):
    found = made(folder, WISHES)
    assert [(array.shape, array.dtype.name) for array in found] == [(SIZE, "float32")] * len(WISHES)
    assert all(array.min() >= 0 and array.max() <= 1 and array.std() > 0.01 for array in found)
    assert distance(made(folder, WISHES[::-1])[::-1], found) < 1e-4


@pytest.mark.parametrize("batch_size", [1, 3, 64])
def test_a_picture_depends_on_its_own_wish_and_not_on_those_beside_it(folder, batch_size):
    assert distance(made(folder, WISHES, batch_size=batch_size), made(folder, WISHES)) < 1e-4
    assert distance(made(folder, WISHES[2:3], batch_size=batch_size), made(folder, WISHES)[2]) < 1e-4


def test_the_same_wishes_give_the_same_bytes(folder):
    assert np.array_equal(made(folder, WISHES), made(folder, WISHES))
    assert distance(made(folder, [Wish("3", "", 1)]), made(folder, [Wish("3", "", 2)])) > 0.1


def test_the_class_decides_and_the_prompt_does_not(folder):
    assert np.array_equal(made(folder, [Wish("3", "a cat", 1)]), made(folder, [Wish("3", "a dog", 1)]))
    assert distance(made(folder, [Wish("3", "", 1)]), made(folder, [Wish("0", "", 1)])) > 0.05
    assert distance(made(folder, [Wish("3", "", 1)]), made(folder, [Wish("3", "", 1)], guidance=3.0)) > 0.05


def test_a_guide_is_itself_at_strength_0_and_gone_at_strength_1(folder):
    guided = [Wish("3", "", 1, GUIDE)]
    assert distance(made(folder, guided, strength=0.0)[0], GUIDE.pixels / 255) < 1e-6
    assert distance(made(folder, guided, strength=1.0), made(folder, [Wish("3", "", 1)])) < 1e-4
    near, far = (np.abs(made(folder, guided, strength=s)[0] - GUIDE.pixels / 255).mean() for s in (0.1, 0.9))
    assert near < far


def test_a_guide_of_another_size_is_fitted_into_the_models_own(folder):
    large = Picture(np.kron(GUIDE.pixels, np.ones((3, 3, 3), np.uint8)), "3", Provenance.PRIVATE)
    (found,) = made(folder, [Wish("3", "", 1, large)], (24, 24, 3), 0.2)
    assert found.shape == (24, 24, 3)
    assert np.abs(found - large.pixels / 255).mean() < 0.25


def test_a_model_is_loaded_once_for_all_clients(folder):
    lent = {}
    for _ in range(2):
        list(DiffusionGenerator(model=str(folder), steps=1).made(WISHES[1:2], SIZE, 0.5, lent))
    assert len(lent) == 1


def test_a_class_that_it_was_not_trained_on_and_a_folder_without_a_model_are_refused(folder, tmp_path):
    generator = DiffusionGenerator(model=str(folder))
    generator.check(list("0123456789"))
    with pytest.raises(ModelError, match=r"generator.model: .*: was not trained on the class 'cat'; known: 0, 1"):
        generator.check(["3", "cat"])
    with pytest.raises(ModelError, match="holds no diffusion model; make one with `fedloom generate train"):
        DiffusionGenerator(model=str(tmp_path)).check(["3"])


def test_its_identity_is_its_weights_and_what_changes_a_picture(folder, tmp_path):
    own = DiffusionGenerator(model=str(folder))
    (tmp_path / "copy").symlink_to(folder)
    assert own.identity() == DiffusionGenerator(model=str(tmp_path / "copy"), batch_size=2, device="cpu").identity()
    assert own.identity() != DiffusionGenerator(model=str(folder), steps=7).identity()
    assert own.identity() != DiffusionGenerator(model=str(folder), guidance=2.0).identity()
