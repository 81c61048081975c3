"""Noising on the cosine schedule, and DDIM: against the formulas, against diffusers, and with a network that knows the answer."""

import math

import pytest
import torch

from fedloom.models.diffusion import denoised, noised, velocity


class Knowing(torch.nn.Module):
    """Predicts the velocity that leads to `clean`, of the class 0, or to `other`, of any class."""

    any_class = 1

    def __init__(self, clean, other):
        super().__init__()
        self.answers = torch.stack([clean, other])
        self.calls = []

    def forward(self, pictures, levels, classes):
        self.calls.append(levels[0].item())
        angles = (levels * math.pi / 2)[:, None, None, None]
        clean = self.answers[classes]
        return (angles.cos() * pictures - clean) / angles.sin()


def normal(*shape, seed=1):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def test_a_picture_is_whole_at_level_0_and_gone_at_level_1():
    clean, noise = normal(2, 1, 4, 4), normal(2, 1, 4, 4, seed=2)
    assert torch.equal(noised(clean, noise, torch.zeros(2)), clean)
    assert torch.allclose(noised(clean, noise, torch.ones(2)), noise, atol=1e-6)


def test_picture_and_noise_follow_from_what_is_noised_and_its_velocity():
    clean, noise, levels = normal(2, 1, 4, 4), normal(2, 1, 4, 4, seed=2), torch.tensor([0.3, 0.8])
    z, v = noised(clean, noise, levels), velocity(clean, noise, levels)
    cosine, sine = (torch.stack([f(levels * math.pi / 2)]).reshape(2, 1, 1, 1) for f in (torch.cos, torch.sin))
    assert torch.allclose(cosine * z - sine * v, clean, atol=1e-6)
    assert torch.allclose(sine * z + cosine * v, noise, atol=1e-6)


@pytest.mark.parametrize(("level", "steps"), [(1.0, 25), (0.6, 15), (0.01, 1)])
def test_a_network_that_knows_the_picture_leads_to_it_in_its_share_of_the_steps(level, steps):
    clean = normal(1, 4, 4).clamp(-1, 1)
    net = Knowing(clean, -clean)
    found = denoised(net, normal(3, 1, 4, 4, seed=2), level, torch.zeros(3, dtype=torch.long), steps=25, guidance=1.0)
    assert torch.allclose(found, clean.expand_as(found), atol=1e-5)
    assert len(net.calls) == steps
    assert net.calls[0] == pytest.approx(level)


def test_nothing_is_done_at_level_0():
    begun = normal(1, 1, 4, 4)
    assert torch.equal(denoised(None, begun, 0.0, torch.zeros(1, dtype=torch.long), 25, 1.0), begun)


def test_guidance_goes_beyond_the_class_away_from_any_class():
    clean, other = torch.full((1, 4, 4), 0.2), torch.full((1, 4, 4), 0.1)
    found = denoised(Knowing(clean, other), normal(2, 1, 4, 4), 1.0, torch.zeros(2, dtype=torch.long), steps=10, guidance=3.0)
    assert torch.allclose(found, torch.full_like(found, 0.4), atol=1e-5)  # 0.1 + 3 (0.2 - 0.1)


def test_steps_are_those_of_ddim_in_diffusers():
    diffusers = pytest.importorskip("diffusers")
    begun, answers = normal(1, 1, 4, 4), 0.1 * normal(11, 1, 1, 4, 4, seed=3)
    angles = torch.linspace(1, 0, 11, dtype=torch.float64) * math.pi / 2
    predicted = iter(answers)
    ours = denoised(lambda *_: next(predicted), begun, 1.0, torch.zeros(1, dtype=torch.long), steps=10, guidance=1.0)
    scheduler = diffusers.DDIMScheduler(prediction_type="v_prediction", clip_sample=True, clip_sample_range=1.0, set_alpha_to_one=False)
    scheduler.num_inference_steps = scheduler.config.num_train_timesteps = 10
    scheduler.alphas_cumprod = (angles.flip(0).cos() ** 2)[1:].float()  # of the 10 levels above 0
    scheduler.final_alpha_cumprod = torch.tensor(1.0)
    theirs = begun
    for number in range(10):
        theirs = scheduler.step(answers[number], 9 - number, theirs, use_clipped_model_output=True).prev_sample
    assert torch.allclose(ours, theirs, atol=1e-4)
