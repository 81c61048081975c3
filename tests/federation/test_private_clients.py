"""Runs that protect whole clients: what leaves a client, what is on the sum, and what is paid for."""

from __future__ import annotations

import json

import pytest
import torch
from local_runs import opened

import fedloom
from fedloom.errors import FedloomError, RecipeError, RunStoppedError
from fedloom.federation.messages import Expected, Message, decode, encode
from fedloom.federation.observer import Observer
from fedloom.federation.run_folder import RunFolder
from fedloom.privacy import epsilon
from fedloom.privacy.accounting import Event, spent
from fedloom.resolve import load_recipe
from fedloom.spending import spending_of

SMALL = {
    "evaluate.baselines": [],
    "evaluate.every": 0,
    "evaluate.samples": 0,
    "rounds": 2,
    "task.steps": 2,
    "model.adapter.rank": 4,
    "privacy.unit": "client",
    "privacy.delta": 0.05,
    "privacy.clip": 0.1,
}
NOISE = {"privacy.noise_multiplier": 2.0}


@pytest.fixture(autouse=True)
def own_home(tmp_path, monkeypatch):
    """Ledgers of its own for every test."""
    monkeypatch.setenv("FEDLOOM_HOME", str(tmp_path / "home"))


def small(folder, observer=None, **settings):
    return fedloom.run("tiny", folder, observer, **SMALL | settings)


def sent_by(name, folder, **settings):
    """The update that the client `name` sends in round 1."""
    with opened(load_recipe("tiny", SMALL | settings), folder) as (local, federation, _):
        message = Message("train", 1, name, {"state": local.start}, {"learning_rate": 5e-3}, federation.envelope)
        reply = local.sites.answer(name, encode(message))
        return decode(reply, Expected("update", 1, name, federation.envelope, local.start.layout))


def test_an_update_leaves_its_client_clipped_and_without_a_number_of_its_rows(tmp_path):
    message = sent_by("east", tmp_path / "a", **NOISE)
    assert float(message.sections["update"].flat.double().norm()) == pytest.approx(0.1, rel=1e-5)
    assert set(message.report) == {"steps"}


def test_a_share_of_the_noise_is_added_by_the_client(tmp_path):
    plain = sent_by("east", tmp_path / "a", **NOISE).sections["update"]
    shared = sent_by("east", tmp_path / "b", **NOISE, **{"privacy.noise_at": "clients"}).sections["update"]
    added = (shared.flat - plain.flat).double()
    assert float(added.std()) == pytest.approx(2.0 * 0.1 / 2**0.5, rel=0.02)  # quorum 2


@pytest.mark.parametrize("name", ["fedavg", "fedprox", "fedavgm", "fedadagrad", "fedadam", "fedyogi"])
def test_every_algorithm_that_joins_by_the_mean_trains(name, tmp_path):
    run = small(tmp_path / "run", **NOISE, **{"algorithm.name": name})
    assert torch.isfinite(run.state.flat).all()
    assert not [event for event in RunFolder(run.folder).metrics() if event["name"].startswith("update/") and event["client"]]


def test_the_joined_state_has_the_noise_of_one_sum(tmp_path):
    """With no training to speak of, what the state moved by is noise / clients."""
    quiet = {"task.learning_rate": 1e-12, "task.min_learning_rate": 0.0, "rounds": 1, "privacy.clip": 1.0}
    with opened(load_recipe("tiny", SMALL | NOISE | quiet), tmp_path / "start") as (local, _, _):
        start = local.start
    for noise_at, expected in (("server", 2.0 / 4), ("clients", 2.0 * (4 / 2) ** 0.5 / 4)):
        run = small(tmp_path / noise_at, **NOISE | quiet, **{"privacy.noise_at": noise_at})
        assert float((run.state.flat - start.flat).double().std()) == pytest.approx(expected, rel=0.03)


def test_a_client_that_is_lost_leaves_the_noise_as_it_is_accounted_for(tmp_path, monkeypatch):
    from fedloom.federation.site import Site

    answer = Site.answer

    def lost(self, data):
        from fedloom.federation.messages import peek

        if self.name == "west" and peek(data)[0] == "train":
            return b"nothing"
        return answer(self, data)

    monkeypatch.setattr(Site, "answer", lost)
    quiet = {"task.learning_rate": 1e-12, "task.min_learning_rate": 0.0, "rounds": 1, "privacy.clip": 1.0}
    with opened(load_recipe("tiny", SMALL | NOISE | quiet), tmp_path / "start") as (local, _, _):
        start = local.start
    run = small(tmp_path / "run", **NOISE | quiet)
    assert float((run.state.flat - start.flat).double().std()) == pytest.approx(2.0 / 3, rel=0.03), "the sum has its noise, of three"


def test_every_round_of_all_clients_is_one_sum_over_all(tmp_path):
    small(tmp_path / "run", **NOISE)
    for one in spending_of(tmp_path / "run"):
        assert one.steps == 2
        assert one.spent == pytest.approx(epsilon(noise_multiplier=2.0, sample_rate=1.0, steps=2, delta=0.05), abs=1e-6)


def test_drawn_clients_pay_for_all_rounds_at_the_first_that_they_take_part_in(tmp_path):
    run = small(tmp_path / "run", **NOISE, per_round=2, rounds=3)
    whole = spent([Event(2.0, 0.5, 3, "without_replacement", 2, 4)], 0.05)
    trained = {json.loads(line)["client"] for line in (run.folder / "metrics.jsonl").read_text().splitlines() if "train/steps" in line}
    found = {one.client: one.own for one in spending_of(run.folder)}
    assert trained
    assert all(found[name] == pytest.approx(whole) for name in trained)
    assert all(found[name] == 0 for name in set(found) - trained)


def test_the_noise_is_solved_for_all_rounds_and_what_does_not_fit_is_refused(tmp_path):
    small(tmp_path / "first", **{"privacy.epsilon": 4.0})
    assert 3.9 < spending_of(tmp_path / "first")[0].spent <= 4.0
    with pytest.raises(FedloomError, match="was spent on these rows by earlier runs; this run does not fit beside it"):
        small(tmp_path / "second", **{"privacy.epsilon": 4.0})
    with pytest.raises(RecipeError, match=r"privacy.noise_multiplier: 0.3 over all 2 sums spends epsilon"):
        small(tmp_path / "third", **{"privacy.epsilon": 4.0, "privacy.noise_multiplier": 0.3})
    with pytest.raises(RecipeError, match=r"privacy.delta: is 0.3, and there are 4 clients; below 1 / clients \(0.25\)"):
        small(tmp_path / "fourth", **NOISE | {"privacy.delta": 0.3})


def test_a_stopped_run_ends_in_the_same_bytes(tmp_path):
    class Stops(Observer):
        def stage(self, name, total):
            if name == "round 2/2":
                raise KeyboardInterrupt

    for noise_at in ("server", "clients"):
        settings = NOISE | {"privacy.noise_at": noise_at}
        with pytest.raises(RunStoppedError):
            small(tmp_path / f"cut-{noise_at}", Stops(), **settings)
        resumed = fedloom.resume(tmp_path / f"cut-{noise_at}")
        assert {one.rounds[-1][0] for one in spending_of(resumed.folder)} == {2}
        if noise_at == "clients":  # the server's noise is that of its run alone
            assert resumed.adapter_sha256 == small(tmp_path / f"whole-{noise_at}", **settings).adapter_sha256


@pytest.mark.parametrize("settings", [{"algorithm.name": "scaffold"}, {"algorithm.name": "median"}, {"algorithm.aggregate": "refactor"}])
def test_rules_that_do_not_join_by_the_mean_are_refused(settings):
    with pytest.raises(RecipeError, match="joins updates by more than their mean"):
        load_recipe("tiny", SMALL | NOISE | settings)


def test_baselines_are_left_out(tmp_path):
    notes = []

    class Listens(Observer):
        def note(self, text):
            notes.append(text)

    small(tmp_path / "run", Listens(), **NOISE | {"evaluate.baselines": ["base", "local"], "evaluate.every": 2})
    assert any("local left out: under privacy each would be a further release of what its client has" in note for note in notes)


def test_a_client_with_a_huge_update_is_clipped_and_not_named_for_it(tmp_path):
    """Who has a long update would tell of its rows."""
    huge = {"clients.malicious": 1, "clients.behaviour": {"kind": "gaussian_noise", "scale": 1e6}}
    run = small(tmp_path / "run", **NOISE | huge)
    assert torch.isfinite(run.state.flat).all()
    assert "norm" not in (run.folder / "audit.jsonl").read_text()
    assert not [event for event in RunFolder(run.folder).metrics() if event["name"] == "client/failed"]
