"""Runs that protect whole clients: what leaves a client, what is on the sum, and what is paid for."""

from __future__ import annotations

import json
import shutil

import numpy as np
import pytest
import torch
from local_runs import opened

import fedloom
from fedloom.errors import FedloomError, RecipeError, RunStoppedError
from fedloom.federation.checkpoint import last_checkpoint, save_checkpoint
from fedloom.federation.messages import Expected, Message, claims, decode, encode, peek
from fedloom.federation.observer import Observer
from fedloom.federation.opening import open_federation
from fedloom.federation.private_work import PrivateWork
from fedloom.federation.run_folder import RunFolder
from fedloom.federation.site import Site
from fedloom.files import read_lines
from fedloom.privacy import epsilon
from fedloom.privacy.accounting import Event, spent
from fedloom.privacy.clients import NoisedSum
from fedloom.privacy.ledger import ledgers_folder
from fedloom.privacy.quantiles import moved
from fedloom.resolve import load_recipe
from fedloom.spending import spending_of
from fedloom.state import State

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
    five_errors = 5 / (2 * added.numel()) ** 0.5  # of a standard deviation of so many values: each machine draws others
    assert float(added.std()) == pytest.approx(2.0 * 0.1 / 2**0.5, rel=five_errors)  # quorum 2


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
        assert float((run.state.flat - start.flat).double().std()) == pytest.approx(expected, rel=0.04)


def test_a_client_that_is_lost_leaves_the_noise_as_it_is_accounted_for(tmp_path, monkeypatch):
    answer = Site.answer

    def lost(self, data):
        if self.name == "west" and peek(data)[0] == "train":
            return b"nothing"
        return answer(self, data)

    monkeypatch.setattr(Site, "answer", lost)
    quiet = {"task.learning_rate": 1e-12, "task.min_learning_rate": 0.0, "rounds": 1, "privacy.clip": 1.0}
    with opened(load_recipe("tiny", SMALL | NOISE | quiet), tmp_path / "start") as (local, _, _):
        start = local.start
    run = small(tmp_path / "run", **NOISE | quiet)
    assert float((run.state.flat - start.flat).double().std()) == pytest.approx(2.0 / 3, rel=0.04), "the sum has its noise, of three"


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


def test_runs_of_two_units_do_not_share_rows(tmp_path):
    small(tmp_path / "clients", **NOISE)
    with pytest.raises(FedloomError, match=r"privacy.unit: these rows were charged by runs of unit client, .*; keep to client"):
        small(tmp_path / "rows", **NOISE | {"privacy.unit": "row", "privacy.delta": 1e-3})
    small(tmp_path / "apart", **NOISE | {"privacy.unit": "row", "privacy.delta": 1e-3, "privacy.ledger": "run"})


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
        assert {one.rounds[-1] for one in spending_of(resumed.folder)} == {2}
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


ADAPTIVE = NOISE | {"privacy.clip_quantile": 0.5}


def clips(folder):
    return [event["value"] for event in RunFolder(folder).metrics() if event["name"] == "privacy/clip"]


def update_of(name, folder, told, **settings):
    """What the client `name` sends in round 1 when it is told the norm `told`, and what its ledger is charged with."""
    with opened(load_recipe("tiny", SMALL | ADAPTIVE | settings), folder) as (local, federation, _):
        message = Message("train", 1, name, {"state": local.start}, {"learning_rate": 5e-3, **told}, federation.envelope)
        reply = local.sites.answer(name, encode(message))
        failed = claims(reply, "failed")
        return decode(reply, Expected("failed" if failed else "update", 1, name, federation.envelope))


@pytest.mark.parametrize(("clip", "bit"), [(0.1, 0), (90.0, 1)])
def test_a_client_clips_to_the_norm_of_the_round_and_tells_whether_it_was_within(clip, bit, tmp_path):
    message = update_of("east", tmp_path / "a", {"clip": clip})
    assert message.report == {"steps": 2, "within_clip": bit}
    assert float(message.sections["update"].flat.double().norm()) <= clip
    (entry,) = (line for path in ledgers_folder().glob("*.jsonl") for line in read_lines(path))
    assert (entry["clip"], entry["noise_multiplier"]) == (clip, 2.0)


@pytest.mark.parametrize("told", [{}, {"clip": 0.0}, {"clip": -1.0}, {"clip": 1e9}])
def test_a_client_trains_for_no_norm_that_the_terms_do_not_lead_to(told, tmp_path):
    assert "its report has no valid 'clip'" in update_of("east", tmp_path / "a", told).body.reason


def test_the_norm_of_a_round_follows_from_the_bits_of_the_one_before(tmp_path, monkeypatch):
    counted = []

    def noted(clip, first, share, quantile):
        counted.append((clip, first, share, quantile))
        return moved(clip, first, share, quantile)

    monkeypatch.setattr("fedloom.federation.rounds.moved", noted)
    run = small(tmp_path / "run", **ADAPTIVE, rounds=3)
    seen = clips(run.folder)
    assert seen[0] == 0.1
    assert seen[1:] == [moved(*each) for each in counted[:2]]
    assert {(first, quantile) for _, first, _, quantile in counted} == {(0.1, 0.5)}
    assert last_checkpoint(run.folder / "checkpoints").clip == moved(*counted[2])
    assert not [event for event in RunFolder(run.folder).metrics() if "within" in event["name"]], "the bits are for their noised sum alone"


def test_a_stopped_run_with_a_moving_norm_ends_in_the_same_bytes(tmp_path):
    """One run, taken up again from a copy of its second checkpoint: the server's noise is that of its run alone."""

    class Copies(Observer):
        def stage(self, name, total):
            if name == "round 3/3" and not (tmp_path / "copy").exists():
                shutil.copytree(tmp_path / "run", tmp_path / "copy", ignore=shutil.ignore_patterns("lock*", ".lock*"))

    run = small(tmp_path / "run", Copies(), **ADAPTIVE, rounds=3)
    resumed = fedloom.resume(tmp_path / "copy")
    assert resumed.adapter_sha256 == run.adapter_sha256
    assert clips(resumed.folder) == clips(run.folder)
    assert len(set(clips(run.folder))) == 3


def test_both_releases_of_a_round_have_the_noise_that_is_paid_for_when_a_client_is_lost(tmp_path, monkeypatch):
    """The number within the norm is 3 of the 3 that answer; its noise is that of the 4 that were drawn."""
    answer = Site.answer
    monkeypatch.setattr(Site, "answer", lambda self, data: b"" if (self.name, peek(data)[0]) == ("west", "train") else answer(self, data))
    shares, drawn = [], iter(range(100))
    monkeypatch.setattr("fedloom.federation.rounds.keyed_stream", lambda *of: np.random.default_rng(next(drawn)))
    monkeypatch.setattr("fedloom.federation.rounds.moved", lambda clip, first, share, quantile: shares.append(share) or clip)
    quiet = {"task.learning_rate": 1e-12, "task.min_learning_rate": 0.0, "privacy.clip": 1.0, "rounds": 20, "task.steps": 1}
    with opened(load_recipe("tiny", SMALL | ADAPTIVE | quiet), tmp_path / "start") as (local, _, _):
        start = local.start
    run = small(tmp_path / "run", **ADAPTIVE | quiet)
    moved_by = float((run.state.flat - start.flat).double().std())
    assert moved_by == pytest.approx(2.0 * 2 / 3**0.5 / 3 * 20**0.5, rel=0.05), "z_u = 2 z / sqrt(3)"
    assert np.mean(shares) == pytest.approx(1.0, abs=0.4)
    assert np.std(shares) == pytest.approx(2.0 / 3, rel=0.3)
    assert {one.steps for one in spending_of(run.folder) if one.client != "west"} == {20}


def test_the_noise_follows_the_norm_of_the_round(tmp_path, monkeypatch):
    """With no training to speak of, the state moves by z_u x norm / clients, z_u = 2 z / sqrt(3)."""
    monkeypatch.setattr("fedloom.federation.rounds.moved", lambda clip, first, share, quantile: clip * 7)
    quiet = {"task.learning_rate": 1e-12, "task.min_learning_rate": 0.0, "privacy.clip": 1.0, "rounds": 3, "task.steps": 1}
    run = small(tmp_path / "run", **ADAPTIVE | quiet)
    deviations = [
        event["value"] / run.state.flat.numel() ** 0.5 for event in RunFolder(run.folder).metrics() if event["name"] == "update/norm"
    ]
    assert clips(run.folder) == [1.0, 7.0, 49.0]
    assert deviations == pytest.approx([2.0 * 2 / 3**0.5 * clip / 4 for clip in (1.0, 7.0, 49.0)], rel=0.03)


@pytest.mark.parametrize("bit", [0.5, -1.0, 2.0, 1e9, None])
def test_a_bit_that_is_none_is_refused_and_its_client_left_out(bit, tmp_path, monkeypatch):
    told = PrivateWork.released

    def lies(self, update, message, random):
        update, report = told(self, update, message, random)
        return update, report if self.client != "west" else {} if bit is None else {"within_clip": bit}

    monkeypatch.setattr(PrivateWork, "released", lies)
    run = small(tmp_path / "run", **ADAPTIVE, rounds=1)
    failed = [event["client"] for event in RunFolder(run.folder).metrics() if event["name"] == "client/failed"]
    assert failed == ["west"]
    assert "its report has no 'within_clip' that is 0 or 1" in (run.folder / "audit.jsonl").read_text()


def test_without_a_quantile_no_bit_is_sent_and_no_norm_recorded(tmp_path):
    assert set(sent_by("east", tmp_path / "a", **NOISE).report) == {"steps"}
    assert clips(small(tmp_path / "run", **NOISE, rounds=1).folder) == []


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"privacy.unit": "row"}, "privacy: clip_quantile: goes with unit: client and noise_at: server"),
        ({"privacy.noise_at": "clients"}, "privacy: clip_quantile: goes with unit: client and noise_at: server"),
        ({"privacy.clip_quantile": 0}, "privacy.clip_quantile: input should be greater than 0"),
        ({"privacy.clip_quantile": 1}, "privacy.clip_quantile: input should be less than 1"),
        ({"privacy.clip_quantile": "half"}, "privacy.clip_quantile: input should be a valid number"),
    ],
)
def test_quantiles_that_nobody_can_count_are_refused(settings, said):
    with pytest.raises(RecipeError, match=said):
        load_recipe("tiny", SMALL | ADAPTIVE | settings)


def test_an_update_that_the_algorithm_refuses_does_not_take_the_noise_with_it():
    summed = NoisedSum(1.0, 2.0, np.random.default_rng(0))
    zero = State.of({"w": torch.zeros(4000)})
    assert float(summed.taken(zero).flat.std()) == pytest.approx(2.0, rel=0.05)
    assert float(summed.taken(zero).flat.std()) == pytest.approx(2.0, rel=0.05), "the first one is not in the sum"
    summed.added()
    assert summed.taken(zero).flat.tolist() == zero.flat.tolist()


@pytest.mark.parametrize("settings", [NOISE, NOISE | {"privacy.clip_quantile": 0.5, "algorithm.name": "fedadam"}])
def test_a_round_whose_state_was_measured_is_not_done_again_with_other_clients(settings, tmp_path, monkeypatch):
    """The same noise on another sum would give a single update away."""

    class Killed(Observer):
        def stage(self, name, total):
            if name == "federated measured" and trained[-1] == 2:
                raise KeyboardInterrupt

    answer, trained = Site.answer, [0]

    def counted(self, data):
        if peek(data)[0] == "train":
            trained.append(peek(data)[1])
        return answer(self, data)

    monkeypatch.setattr(Site, "answer", counted)
    with pytest.raises(RunStoppedError):
        small(tmp_path / "run", Killed(), **settings, **{"evaluate.every": 1})
    left = last_checkpoint(tmp_path / "run" / "checkpoints")
    monkeypatch.setattr(Site, "answer", lambda self, data: b"" if (self.name, peek(data)[0]) == ("west", "train") else answer(self, data))
    resumed = fedloom.resume(tmp_path / "run")
    end = last_checkpoint(tmp_path / "run" / "checkpoints")
    assert (left.round, end.round, end.to_tell) == (2, 2, {})
    assert end.state.equals(left.state)
    names = [(event["round"], event["client"], event["name"]) for event in RunFolder(resumed.folder).metrics()]
    monkeypatch.setattr(Site, "answer", answer)
    whole = small(tmp_path / "whole", **settings, **{"evaluate.every": 1})
    assert names == [(event["round"], event["client"], event["name"]) for event in RunFolder(whole.folder).metrics()]


def test_nothing_of_a_noised_state_is_told_before_its_round_is_on_the_disk(tmp_path, monkeypatch):
    def dies(folder, checkpoint):
        if checkpoint.round:
            raise KeyboardInterrupt
        save_checkpoint(folder, checkpoint)

    monkeypatch.setattr("fedloom.federation.rounds.save_checkpoint", dies)
    with pytest.raises(RunStoppedError):
        small(tmp_path / "run", **NOISE)
    assert '"event": "round"' not in (tmp_path / "run" / "audit.jsonl").read_text()
    assert not [event for event in RunFolder(tmp_path / "run").metrics() if event["name"] == "update/norm"]


def test_a_run_killed_while_its_state_is_measured_ends_in_the_same_bytes(tmp_path):
    class Copies(Observer):
        def stage(self, name, total):
            if name == "federated measured" and last_checkpoint(tmp_path / "run" / "checkpoints").round == 1:
                shutil.copytree(tmp_path / "run", tmp_path / "copy", ignore=shutil.ignore_patterns("lock*", ".lock*"))

    def measured(folder):
        return [event for event in RunFolder(folder).metrics() if not event["name"].endswith("seconds") or event["round"] == 1]

    settings = ADAPTIVE | {"algorithm.name": "fedadam", "evaluate.every": 1}
    run = small(tmp_path / "run", Copies(), **settings)
    resumed = fedloom.resume(tmp_path / "copy")
    assert resumed.adapter_sha256 == run.adapter_sha256
    assert measured(resumed.folder) == measured(run.folder)


DRAWN = {"per_round": 2, "rounds": 3, "privacy.noise_at": "clients"}


class Asked:
    """A site of an opened run that is asked whatever a test likes."""

    def __init__(self, local, federation, name="east"):
        self.local, self.federation, self.name = local, federation, name

    def ask(self, number, state=None, rate=5e-3):
        """The update to the question of a round, or why there is none."""
        envelope, sections = self.federation.envelope, {"state": state or self.local.start}
        reply = self.local.sites.answer(self.name, encode(Message("train", number, self.name, sections, {"learning_rate": rate}, envelope)))
        if claims(reply, "failed"):
            return decode(reply, Expected("failed", number, self.name, envelope)).body.reason
        return decode(reply, Expected("update", number, self.name, envelope, self.local.start.layout)).sections["update"]


def test_a_drawn_client_answers_one_question_of_each_round_that_it_has_paid_for(tmp_path):
    with opened(load_recipe("tiny", SMALL | NOISE | DRAWN), tmp_path / "run") as (local, federation, _):
        site = Asked(local, federation)
        updates = {number: site.ask(number) for number in (1, 2, 3)}
        assert "its round is 4, and rounds 1 to 3 are paid for" in site.ask(4)
        assert "its round is 0" in site.ask(0)
        for other in (site.ask(2, local.start * 2.0), site.ask(2, rate=1e-3)):
            assert "round 2 was answered already, and this is another question; a round is paid for once" in other
        assert all(site.ask(number).equals(update) for number, update in updates.items())
        (east,) = spending_of(local.sites.folder / "east")
    assert east.steps == 3


def test_a_drawn_client_that_was_killed_before_it_drew_answers_no_other_question(tmp_path, monkeypatch):
    with opened(load_recipe("tiny", SMALL | NOISE | DRAWN), tmp_path / "run") as (local, federation, _):
        site = Asked(local, federation)
        with monkeypatch.context() as patch:
            patch.setattr("fedloom.federation.private_work.keyed_stream", lambda *of: 1 / 0)
            assert "ZeroDivisionError" in site.ask(1)
        assert "this is another question" in site.ask(1, rate=1e-3)
        assert isinstance(site.ask(1), State)


def test_every_federation_of_a_run_is_charged_with_all_its_rounds(tmp_path):
    with opened(load_recipe("tiny", SMALL | NOISE | DRAWN | {"data.provenance": "private"}), tmp_path / "run") as (local, federation, _):
        renamed = local.federation(local.recipe, RunFolder(tmp_path / "again"), name="another")
        open_federation(renamed)
        for one in (federation, renamed, federation, renamed):
            assert isinstance(Asked(local, one).ask(1), State)
        lines = [line for path in ledgers_folder().glob("*.jsonl") for line in read_lines(path)]
    assert [(line["federation"], line["steps"]) for line in lines] == [("", 3), ("another", 3)]


@pytest.mark.parametrize("unit", [{}, {"privacy.unit": "row", "privacy.delta": 1e-3}], ids=["client", "row"])
def test_a_site_that_is_asked_for_one_round_too_many_refuses(unit, tmp_path):
    with opened(load_recipe("tiny", SMALL | {"privacy.epsilon": 4.0} | unit), tmp_path / "run") as (local, federation, _):
        site = Asked(local, federation)
        assert all(isinstance(site.ask(number), State) for number in (1, 2))
        assert "the ledger refuses this round: with it, epsilon" in site.ask(3)
        assert "the ledger refuses this round: with it, epsilon" in site.ask(2, rate=1e-3)
        (east,) = spending_of(local.sites.folder / "east")
    assert 3.9 < east.spent <= 4.0


@pytest.mark.parametrize("noise_at", ["server", "clients"])
def test_the_log_of_messages_holds_no_hash_of_an_update_without_noise(noise_at, tmp_path):
    """A hash of it would tell whether a guess of all that the client has is right."""
    run = small(tmp_path / "run", **NOISE, rounds=1, **{"privacy.noise_at": noise_at})
    hashed = {line["kind"]: line["sha256"] is not None for line in read_lines(run.folder / "wire.jsonl") if line["kind"] != "failed"}
    assert hashed.pop("update") == (noise_at == "clients")
    assert set(hashed) >= {"join", "prepared", "train"}
    assert all(hashed.values())
