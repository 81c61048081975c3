"""A clipping norm that follows a quantile of the clients' norms (Andrew, Thakkar, McMahan and Ramaswamy 2021, arXiv 1905.03871).

Each client says whether its update is within the norm C_t of the round: a bit b_i. The server adds noise to their number, and moves the
norm by the noised share b~_t of the m clients that answered: C_{t+1} = C_t exp(-eta (b~_t - gamma)), gamma being the quantile. Nothing
else is made of the bits. The noise multiplier z of the terms holds for both releases together.
"""

from __future__ import annotations

import math

from fedloom.errors import RecipeError

RATE = 0.2
"""eta, as in the paper: the norm moves by up to a fifth of its size, but for the noise."""
CLIENTS_PER_NOISE = 20
"""Clients drawn for each unit of noise on their number, as the paper recommends."""
FARTHEST = 1000.0
"""How many times as large or small as the first norm it may become: with few clients and much noise it wanders."""


def noise_on_count(noise_multiplier: float, drawn: int) -> float:
    """sigma_b, the standard deviation of the noise on the number of clients within the norm, when `drawn` clients take part.

    A twentieth of them, and no less than z, with which the noise on the updates is 15.5% larger than without the bits.
    """
    return max(drawn / CLIENTS_PER_NOISE, noise_multiplier)


def noise_on_updates(noise_multiplier: float, on_count: float) -> float:
    """z_u = (z^-2 - (2 sigma_b)^-2)^(-1/2), the noise multiplier of the updates, with sigma_b = `on_count` (theorem 1).

    A bit less one half is 1/2 or -1/2: half a clipping norm of 1. Raises RecipeError where the noise on the number alone is too little.
    """
    if not on_count > noise_multiplier / 2:
        raise RecipeError(
            f"privacy.clip_quantile: noise of {on_count:g} on the number of clients within the norm spends all that noise_multiplier"
            f" {noise_multiplier:g} allows; it should be above {noise_multiplier / 2:g}"
        )
    return (noise_multiplier**-2 - (2 * on_count) ** -2) ** -0.5


def moved(clip: float, first: float, share: float, quantile: float) -> float:
    """The norm after `clip`, where the noised `share` of the clients is within that; `first` is the first norm of the run."""
    least, most = bounds(first)
    farthest = math.log(most / least)
    step = -RATE * (share - quantile)
    return min(max(clip * math.exp(min(max(step, -farthest), farthest)), least), most)


def bounds(first: float) -> tuple[float, float]:
    """The least and the largest norm of a run that begins with `first`."""
    return first / FARTHEST, first * FARTHEST
