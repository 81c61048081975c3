"""Diffusion of pictures on the cosine schedule (Nichol and Dhariwal 2021, arXiv:2102.09672), with velocities (Salimans and Ho 2022,
arXiv:2202.00512).

A picture x noised with e to the level t, 0 to 1, is z = cos(a) x + sin(a) e with the angle a = t pi / 2: at level 0 it is the picture, at
level 1 nothing but noise. The velocity in it is v = cos(a) e - sin(a) x. From z and v both x and e follow.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import torch
from torch import Tensor

if TYPE_CHECKING:
    from fedloom.models.denoiser import Denoiser


def noised(clean: Tensor, noise: Tensor, levels: Tensor) -> Tensor:
    """z of pictures and noise (rows, channels, height, width), each row at its level of `levels` (rows,)."""
    cosine, sine = _cosine_sine(levels)
    return cosine * clean + sine * noise


def velocity(clean: Tensor, noise: Tensor, levels: Tensor) -> Tensor:
    """v of the same, which a network learns to predict."""
    cosine, sine = _cosine_sine(levels)
    return cosine * noise - sine * clean


@torch.inference_mode()
def denoised(net: Denoiser, begun: Tensor, level: float, classes: Tensor, steps: int, guidance: float) -> Tensor:
    """What `net` makes of `begun`, pictures noised to `level`, as pictures of `classes`: DDIM, which adds no noise (Song et al. 2020,
    arXiv:2010.02502, equation 12 with sigma 0).

    From level 1 it takes `steps` steps, from a lower one as many fewer. `guidance` w takes v = v(any) + w (v(class) - v(any)):
    classifier-free guidance (Ho and Salimans 2022, arXiv:2207.12598); 1 is the class alone. Values beyond -1 and 1 are cut at each step.
    """
    count = math.ceil(steps * level)
    for number in range(count):
        angle, next_angle = (level * (1 - done / count) * math.pi / 2 for done in (number, number + 1))
        predicted = _guided(net, begun, level * (1 - number / count), classes, guidance)
        clean = (math.cos(angle) * begun - math.sin(angle) * predicted).clamp(-1, 1)
        noise = (begun - math.cos(angle) * clean) / math.sin(angle)
        begun = math.cos(next_angle) * clean + math.sin(next_angle) * noise
    return begun


def _guided(net: Denoiser, pictures: Tensor, level: float, classes: Tensor, guidance: float) -> Tensor:
    levels = torch.full((len(pictures),), level, device=pictures.device)
    if guidance == 1:
        alone: Tensor = net(pictures, levels, classes)
        return alone
    both = net(torch.cat([pictures] * 2), torch.cat([levels] * 2), torch.cat([classes, torch.full_like(classes, net.any_class)]))
    of_class, of_any = both.chunk(2)
    mixed: Tensor = of_any + guidance * (of_class - of_any)
    return mixed


def _cosine_sine(levels: Tensor) -> tuple[Tensor, Tensor]:
    angles = levels[:, None, None, None] * (math.pi / 2)
    return angles.cos(), angles.sin()
