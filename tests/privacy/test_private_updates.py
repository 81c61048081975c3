"""Privacy of whole clients: clipped updates, and noise on their sum that is never less than is accounted for."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from fedloom.privacy.clients import NoisedSum, clipped, noised
from fedloom.state import State


def update(*values):
    return State.of({"w": torch.tensor(values)})


def test_an_update_is_scaled_down_to_the_norm_and_never_up():
    assert clipped(update(3.0, 4.0), 1.0).flat.tolist() == pytest.approx([0.6, 0.8], rel=1e-5)
    assert float(clipped(update(3.0, 4.0), 1.0).flat.double().norm()) <= 1.0
    assert clipped(update(0.3, 0.4), 1.0).flat.tolist() == pytest.approx([0.3, 0.4])


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_an_update_that_is_not_finite_is_zero(value):
    assert clipped(update(value, 1.0), 1.0).flat.tolist() == [0.0, 0.0]


def test_the_noise_of_the_sum_is_on_it_once_whoever_answers():
    sums = []
    for seed in range(400):
        summed = NoisedSum(1.0, 2.0, np.random.default_rng(seed))
        taken = []
        for _ in range(3):
            taken.append(summed.taken(update(*[0.0] * 8)))
            summed.added()
        sums.append(sum(one.flat for one in taken))
    values = torch.cat(sums).double()
    assert float(values.std()) == pytest.approx(2.0, rel=0.05)
    assert float(values.mean()) == pytest.approx(0.0, abs=0.15)


def test_a_client_that_did_not_clip_is_clipped_by_the_server():
    summed = NoisedSum(1.0, 0.0, np.random.default_rng(0))
    assert summed.taken(update(30.0, 40.0)).flat.tolist() == pytest.approx([0.6, 0.8], rel=1e-5)


@pytest.mark.parametrize("answering", [2, 3, 5])
def test_shares_of_the_fewest_clients_are_the_noise_and_more_clients_give_more(answering):
    quorum, deviation = 2, 3.0
    share = deviation / math.sqrt(quorum)
    drawn = [noised(update(*[0.0] * 4000), share, np.random.default_rng((answering, number))).flat for number in range(answering)]
    found = float(sum(drawn).double().std())
    assert found == pytest.approx(deviation * math.sqrt(answering / quorum), rel=0.05)
    assert found > 0.95 * deviation
