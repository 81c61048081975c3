"""Pictures of the field: what rays see of it (NeuS, arXiv 2106.10689, equations 3 and 13)."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from fedloom.models.radiance.person import Person
from fedloom.models.radiance.rays import Rays, sampled_depths

COLOURED = 6
"""Samples of a ray that are given a colour: those with the greatest weights."""


@dataclass(frozen=True)
class Rendered:
    """What N rays see: `colours` (N, 3) over black, `classes` (N, C) that sum to the mask, `mask` (N,) from 0 to 1, `depths` (N,) in metres
    of the weighted mean, and `surface` (N, 3), the point of the greatest weight."""

    colours: Tensor
    classes: Tensor
    mask: Tensor
    depths: Tensor
    surface: Tensor


def render(person: Person, rays: Rays, samples: int, even: bool = False) -> Rendered:
    """What `rays` see, from `samples` distances along each. `even`: nothing is drawn."""
    depths = sampled_depths(person.near, rays, samples, even)
    sdf = person.sdf(rays.at(depths).reshape(-1, 3)).reshape(depths.shape)
    weights = surface_weights(sdf, person.sharpness)
    middles = (depths[:, 1:] + depths[:, :-1]) / 2
    heavy, kept = weights.topk(min(COLOURED, weights.shape[1]), dim=1)
    points = rays.at(middles.gather(1, kept))
    flat, along = points.reshape(-1, 3), rays.directions[:, None].expand_as(points).reshape(-1, 3)
    looks = person.looks(flat, along).reshape(*points.shape[:2], -1)
    mask = weights.sum(dim=1)
    scale = mask / heavy.sum(dim=1).clamp(min=1e-6)  # the few samples without a colour are taken to look like the others
    blended = (heavy[:, :, None] * looks).sum(dim=1) * scale[:, None]
    return Rendered(blended[:, :3], blended[:, 3:], mask, (weights * middles).sum(dim=1) / mask.clamp(min=1e-6), points[:, 0].detach())


def surface_weights(sdf: Tensor, sharpness: Tensor) -> Tensor:
    """Weights (N, S - 1) of the sections between samples with the distances `sdf` (N, S): T_i alpha_i,

    alpha_i = clamp((Phi_s(sdf_i) - Phi_s(sdf_i+1)) / Phi_s(sdf_i), 0, 1), Phi_s(x) = 1 / (1 + exp(-s x)), T_i = prod_j<i (1 - alpha_j).
    """
    phi = torch.sigmoid(sdf * sharpness)
    alpha = ((phi[:, :-1] - phi[:, 1:]) / phi[:, :-1].clamp(min=1e-6)).clamp(0, 1)
    through = torch.cumprod(1 - alpha + 1e-7, dim=1)
    return alpha * torch.cat([torch.ones_like(through[:, :1]), through[:, :-1]], dim=1)
