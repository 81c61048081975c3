"""A federation of networks with BatchNorm: its running statistics are those of plain training, and no client meets those of another."""

import numpy as np
import pytest
import torch
from local_runs import opened, rows_of
from torch import nn
from torch.nn.functional import cross_entropy

import fedloom
from fedloom.data.records import Provenance
from fedloom.data.rows import Row, SourceRows
from fedloom.data.sources import sources
from fedloom.errors import FedloomError, RunStoppedError
from fedloom.federation.observer import Observer
from fedloom.federation.rounds import run_rounds
from fedloom.federation.run_folder import RunFolder
from fedloom.federation.schedule import learning_rate
from fedloom.handing_out import hand_out
from fedloom.models.networks import PICTURE_NETWORKS
from fedloom.models.statistics import CarriedBatchNorm2d
from fedloom.resolve import load_recipe
from fedloom.state import STATISTICS, State
from fedloom.streams import torch_stream
from fedloom.tasks.gradients import PlainGradients

LABELS = ["a", "b"]
SHORT = {
    "model.id": "resnet8-bn", "model.device": "cpu", "task.labels": LABELS, "task.optimizer": "sgd", "task.learning_rate": 0.05,
    "task.batch_size": 8, "task.steps": 3, "rounds": 2, "quorum": 1, "clients": None, "per_round": None, "data.held_out": 0.0,
    "evaluate.every": 0, "evaluate.baselines": [], "data.partition": {"kind": "by_field", "field": "owner"},
}  # fmt: skip


def rows(owners):
    """Eight pictures for each of `owners`, the same ones for the same letter: those of A are dark, of B bright."""
    draws = {letter: np.random.default_rng(ord(letter)).integers(0, 120, (8, 8, 8, 1), np.uint8) for letter in "AB"}
    draws["B"] += 130
    found = [
        Row({"pixels": pixels, "label": LABELS[number % 2], "owner": owner}, f"{owner} {number}")
        for owner in owners
        for number, pixels in enumerate(draws[owner[0]])
    ]
    return SourceRows(found, origin="eight pictures each", provenance=Provenance.PUBLIC, reads="picture")


for name, owners in {"one-A": ["A"], "twin-As": ["A1", "A2"], "A-and-B": ["A", "B"]}.items():
    sources.register(f"pictures-of-{name}")(lambda owners=owners: rows(owners))


def trained(source, folder, **changes):
    """(the state at the start, the joined state) of a run without a report."""
    with opened(load_recipe("pictures_tiny", SHORT | {"data.source": f"pictures-of-{source}"} | changes), folder) as (local, federation, _):
        return local.start, run_rounds(federation, local.start)


def statistics_of(state):
    return {name: tensor for name, tensor in state.items() if name.rpartition(".")[2] in STATISTICS}


def with_torchs_own_norms(net):
    """`net` with BatchNorm2d of torch in place of each of ours."""
    for name, layer in list(net.named_modules()):
        if isinstance(layer, CarriedBatchNorm2d):
            owner, _, own = name.rpartition(".")
            setattr(net.get_submodule(owner), own, nn.BatchNorm2d(layer.num_features))
    return net


def plain_training(folder, **changes):
    """The run of one client, written as any PyTorch user would."""
    recipe = load_recipe("pictures_tiny", SHORT | {"data.source": "pictures-of-one-A"} | changes)
    with opened(recipe, folder) as (local, federation, _):
        task, rows, start = federation.task, rows_of(local, federation, "A"), local.start
    net = with_torchs_own_norms(PICTURE_NETWORKS["resnet8-bn"].empty(2)).train()
    net.load_state_dict(dict(start), strict=False)
    for number in (1, 2):
        rate = learning_rate(task, number, 2)
        optimiser = torch.optim.SGD(net.parameters(), lr=rate, weight_decay=task.weight_decay)
        for (batch,) in PlainGradients().draw(len(rows), task, torch_stream(recipe.seed, "batches", number, "A")):
            optimiser.zero_grad()
            cross_entropy(net(rows.batch(batch)), rows.right[batch]).backward()
            nn.utils.clip_grad_norm_(net.parameters(), task.max_grad_norm)
            optimiser.step()
    return State.of({name: net.state_dict()[name] for name in start})


@pytest.mark.parametrize("changes", [{}, {"algorithm.name": "fedprox", "algorithm.prox_mu": 0.0, "task.weight_decay": 0.1}])
def test_one_client_is_plain_training_with_torchs_own_batch_norm(tmp_path, changes):
    start, found = trained("one-A", tmp_path / "run", **changes)
    expected = plain_training(tmp_path / "plain", **changes)
    assert len(statistics_of(found)) == 2 * 7
    for name, tensor in found.items():
        torch.testing.assert_close(tensor, expected[name], atol=1e-6, rtol=1e-5, msg=name)
        assert not torch.equal(tensor, start[name]), name


def test_two_equal_clients_are_one(tmp_path):
    _, one = trained("one-A", tmp_path / "one")
    _, two = trained("twin-As", tmp_path / "two")
    torch.testing.assert_close(two.flat, one.flat, atol=1e-5, rtol=1e-4)  # eight pictures are a batch, and their order is a client's own


@pytest.mark.parametrize("algorithm", ["fedprox", "scaffold", "fedadam", "feddyn"])
def test_neither_terms_of_clients_nor_steps_of_the_server_move_statistics(tmp_path, algorithm):
    settings = {"fedprox": {"algorithm.prox_mu": 5.0}, "feddyn": {"algorithm.alpha": 5.0}}.get(algorithm, {})
    once = {"rounds": 1, "task.steps": 1}  # one batch, before any weight has moved
    _, plain = trained("A-and-B", tmp_path / "plain", **once)
    _, other = trained("A-and-B", tmp_path / "other", **once, **settings, **{"algorithm.name": algorithm})
    for name, tensor in statistics_of(plain).items():
        assert torch.equal(other[name], tensor), name


def test_a_client_ends_where_it_would_without_the_client_before_it(tmp_path):
    _, joined = trained("A-and-B", tmp_path / "joined", rounds=1)
    _, dark = trained("A-and-B", tmp_path / "dark", **{"rounds": 1, "algorithm.name": "local:0"})
    _, bright = trained("A-and-B", tmp_path / "bright", **{"rounds": 1, "algorithm.name": "local:1"})
    assert (dark["norm.running_mean"] - bright["norm.running_mean"]).norm() > 0.1
    torch.testing.assert_close(joined.flat, (dark.flat + bright.flat) / 2, atol=1e-6, rtol=1e-5)


def test_a_resumed_run_ends_in_the_same_bytes(tmp_path):
    class StopsInRoundTwo(Observer):
        def stage(self, name, total):
            if name == "round 2/2":
                raise KeyboardInterrupt

    changes = SHORT | {"data.source": "pictures-of-A-and-B", "algorithm.name": "fedadam", "codec": "int8", "evaluate.samples": 0}
    whole = fedloom.run("pictures_tiny", tmp_path / "whole", **changes)
    with pytest.raises(RunStoppedError):
        fedloom.run("pictures_tiny", tmp_path / "stopped", StopsInRoundTwo(), **changes)
    assert fedloom.resume(tmp_path / "stopped").adapter_sha256 == whole.adapter_sha256
    assert all((tensor >= 0).all() for name, tensor in whole.state.items() if name.endswith("running_var"))


def test_frozen_statistics_are_those_of_the_model_that_a_run_begins_from(tmp_path):
    first = load_recipe("pictures_tiny", SHORT | {"data.source": "pictures-of-A-and-B"})
    with opened(first, tmp_path / "first") as (local, federation, _):
        carried = run_rounds(federation, local.start)
        hand_out(local.bench, RunFolder(tmp_path / "first"), carried)
    changes = {"model.id": str(tmp_path / "first" / "model"), "model.running_statistics": "frozen", "data.source": "pictures-of-one-A"}
    with opened(load_recipe("pictures_tiny", SHORT | changes), tmp_path / "second") as (local, federation, _):
        state = run_rounds(federation, local.start)
        held = local.bench.model.state_dict()
    assert not statistics_of(state)
    assert not state.equals(local.start)
    for name, tensor in statistics_of(carried).items():
        assert torch.equal(held[name], tensor), name


PRIVATE = {"privacy": {"noise_multiplier": 1.0, "delta": 1e-3}, "evaluate.samples": 0}


def test_row_privacy_refuses_a_network_that_mixes_rows_in_one_line(tmp_path):
    with pytest.raises(FedloomError) as caught:
        fedloom.run("pictures_tiny", tmp_path / "run", **SHORT | PRIVATE | {"data.source": "pictures-of-one-A"})
    assert "model.id: its layer 'norm' is a BatchNorm, which mixes the rows of a batch" in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "privacy", [{"unit": "client", "noise_multiplier": 5.0, "clip": 0.5}, {"noise_multiplier": 1.0}], ids=["client", "row"]
)
def test_privacy_of_clients_takes_carried_statistics_and_privacy_of_rows_frozen_ones(tmp_path, monkeypatch, privacy):
    monkeypatch.setenv("FEDLOOM_HOME", str(tmp_path / "home"))
    rows = "unit" not in privacy
    changes = {"privacy": privacy | {"delta": 1e-3}, "model.running_statistics": "frozen" if rows else "carried", "quorum": 2}
    start, state = trained("A-and-B", tmp_path / "run", **changes)
    assert bool(statistics_of(state)) != rows
    assert torch.isfinite(state.flat).all()
    assert not state.equals(start)
    assert all((tensor >= 0).all() for name, tensor in state.items() if name.endswith("running_var"))


def test_a_network_without_batch_norm_has_no_statistics_to_say_anything_of(tmp_path):
    changes = {"model.id": "resnet8", "model.running_statistics": "frozen", "data.source": "pictures-of-one-A"}
    with pytest.raises(FedloomError, match=r"model\.running_statistics: resnet8 keeps none; leave it out, or use a network with BatchNorm"):
        trained("one-A", tmp_path, **changes)
