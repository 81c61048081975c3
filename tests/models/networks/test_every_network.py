"""What holds of every network that is built here: its start is that of the seed, pictures have any size, and it can be trained and kept."""

import pytest
import torch
from local_runs import opened

from fedloom.federation.rounds import run_rounds
from fedloom.federation.run_folder import RunFolder
from fedloom.handing_out import hand_out, tuned_bench
from fedloom.models.networks import PICTURE_NETWORKS, TEXT_NETWORKS, draw_weights
from fedloom.resolve import load_recipe

ALL = PICTURE_NETWORKS | TEXT_NETWORKS


def drawn(name, seed=1, head=False):
    net = ALL[name].empty(3)
    draw_weights(net, seed)
    if head:  # a new head is zero, and would hide what comes before it
        torch.nn.init.normal_(net.head.weight, generator=torch.Generator().manual_seed(0))
    return net.eval()


def pictures(channels, height=8, width=8):
    return torch.rand(2, channels, height, width, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize("name", ALL)
def test_the_start_depends_on_the_seed_alone_and_prefers_no_label(name):
    torch.manual_seed(1)
    first = drawn(name, seed=5)
    torch.manual_seed(2)
    again, other = drawn(name, seed=5), drawn(name, seed=6)
    for mine, same, (parameter, different) in zip(first.parameters(), again.parameters(), other.named_parameters(), strict=True):
        assert torch.equal(mine, same)
        if mine.dim() > 1 and not parameter.startswith("head."):
            assert not torch.equal(mine, different)
    assert not any(parameter.any() for parameter in first.head.parameters())


@pytest.mark.parametrize("name", PICTURE_NETWORKS)
@pytest.mark.parametrize("size", [(8, 8), (28, 28), (7, 13), (1, 1)])
@torch.no_grad()
def test_pictures_of_any_size_and_of_one_or_three_channels_give_a_score_per_label(name, size):
    net, grey = drawn(name, head=True), pictures(1, *size)
    scores = net(grey)
    assert scores.shape == (2, 3)
    assert torch.isfinite(scores).all()
    torch.testing.assert_close(net(grey.expand(-1, 3, -1, -1)), scores, atol=1e-5, rtol=1e-5)
    assert not torch.allclose(net(1 - grey), scores, atol=1e-3)


@pytest.mark.parametrize("name", PICTURE_NETWORKS)
@torch.no_grad()
def test_a_measured_picture_is_scored_the_same_whatever_stands_beside_it(name):
    net, rows = drawn(name, head=True), pictures(3)
    torch.testing.assert_close(net(rows)[:1], net(rows[:1]), atol=1e-5, rtol=1e-5)


VALUES = {
    "cnn": 33_946,
    "mlp": 64 * 32 + 32 + 32 * 10 + 10,
    "bag-of-words": 2**16 * 16 + 16 * 10 + 10,
    "bag-of-words-4k": 2**12 * 16 + 16 * 10 + 10,
}


@pytest.mark.parametrize(("name", "values"), VALUES.items())
def test_a_network_has_as_many_values_as_it_is_said_to_have(name, values):
    assert ALL[name].parameters(labels=10) == values


@torch.no_grad()
def test_the_perceptron_sees_digits_as_they_are_and_larger_pictures_as_means():
    net, small = drawn("mlp", head=True), pictures(1)
    torch.testing.assert_close(net(small.repeat_interleave(3, 2).repeat_interleave(3, 3)), net(small), atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("name", PICTURE_NETWORKS)
def test_every_network_for_pictures_is_trained_for_two_rounds_handed_out_and_loaded_again(name, tmp_path):
    short = {
        "rounds": 2, "task.steps": 2, "data.limit": 60, "data.partition": {"kind": "iid"}, "clients": 2, "per_round": 2,
        "evaluate.every": 2, "evaluate.baselines": [], "model.id": name,
    }  # fmt: skip
    recipe = load_recipe("pictures_tiny", short)
    with opened(recipe, tmp_path / "run") as (local, federation, _):
        state = run_rounds(federation, local.start)
        assert not state.equals(local.start)
        hand_out(local.bench, RunFolder(tmp_path / "run"), state)
    again = tuned_bench(recipe, RunFolder(tmp_path / "run"))
    assert again.parameters.state().equals(state)
    assert again.model.network == name
