"""Runs under differential privacy: what leaves a site, what its ledger says, and the same bytes after a stop."""

from __future__ import annotations

import errno
import json
import math
import os
import shutil
from dataclasses import replace

import pytest
import torch
from local_runs import opened

import fedloom
from fedloom.agreed import Agreed
from fedloom.errors import FedloomError, RecipeError, RunStoppedError
from fedloom.federation.bodies import Terms
from fedloom.federation.messages import Expected, Message, decode, encode
from fedloom.federation.observer import Observer
from fedloom.federation.opening import open_federation
from fedloom.federation.rounds import run_rounds
from fedloom.federation.run_folder import RunFolder
from fedloom.federation.site import Site
from fedloom.hash_chain import HashChain
from fedloom.privacy import epsilon
from fedloom.privacy.ledger import LedgerError, open_account
from fedloom.resolve import load_recipe
from fedloom.spending import spending_of

SMALL = {
    "evaluate.baselines": [],
    "evaluate.every": 0,
    "evaluate.samples": 0,
    "rounds": 3,
    "task.steps": 2,
    "model.adapter.rank": 4,
    "privacy.delta": 1e-3,
}
NOISE = {"privacy.noise_multiplier": 1.0}


@pytest.fixture(autouse=True)
def own_home(tmp_path, monkeypatch):
    """Ledgers of its own for every test."""
    monkeypatch.setenv("FEDLOOM_HOME", str(tmp_path / "home"))


def small(folder, observer=None, **settings):
    return fedloom.run("tiny", folder, observer, **SMALL | settings)


class StopsAfter(Observer):
    def __init__(self, number):
        self.number = number

    def stage(self, name, total):
        if name == f"round {self.number + 1}/3":
            raise KeyboardInterrupt


@pytest.mark.parametrize(
    "settings", [NOISE, {"privacy.epsilon": 6.0, "privacy.ledger": "run", "algorithm.name": "scaffold", "codec": "int8"}]
)
def test_a_stopped_run_ends_in_the_same_bytes_and_spends_no_more(settings, tmp_path):
    with pytest.raises(RunStoppedError):
        small(tmp_path / "cut", StopsAfter(2), **settings)
    resumed = fedloom.resume(tmp_path / "cut")
    spent = [(one.client, one.own, one.rounds) for one in spending_of(tmp_path / "cut")]
    whole = small(tmp_path / "whole", **settings)
    assert resumed.adapter_sha256 == whole.adapter_sha256
    assert [(one.client, one.own, one.rounds) for one in spending_of(tmp_path / "whole")] == spent
    assert all(len(rounds) == 3 for _, _, rounds in spent)


def test_a_round_that_is_done_again_gives_the_same_bytes_and_is_charged_once(tmp_path):
    with opened(load_recipe("tiny", SMALL | NOISE), tmp_path / "run") as (local, federation, _):
        state = local.start
        message = Message("train", 1, "east", {"state": state}, {"learning_rate": 1e-3}, federation.envelope)
        first, again = (local.sites.answer("east", encode(message)) for _ in range(2))
        other = local.sites.answer("east", encode(Message(**{**vars(message), "report": {"learning_rate": 2e-3}})))
        update, repeated, third = (
            decode(reply, Expected("update", 1, "east", federation.envelope, state.layout)).sections["update"]
            for reply in (first, again, other)
        )
        assert update.equals(repeated)
        assert not third.equals(update)
        (east,) = spending_of(local.sites.folder / "east")
    assert east.steps == 4, "two questions of two sums each"


def test_the_ledger_says_what_the_accountant_says_of_all_steps(tmp_path):
    run = small(tmp_path / "run", **NOISE)
    for one in spending_of(run.folder):
        assert one.steps == 6
        assert one.own == one.spent == pytest.approx(epsilon(noise_multiplier=1.0, sample_rate=8 / 32, steps=6, delta=1e-3), abs=1e-6)
        assert (one.budget, one.left) == (None, None)


def test_the_noise_is_solved_for_all_rounds_and_for_what_earlier_runs_spent(tmp_path):
    small(tmp_path / "first", **{"privacy.epsilon": 4.0})
    first = spending_of(tmp_path / "first")[0]
    assert 3.97 < first.spent <= 4.0
    with pytest.raises(
        FedloomError, match=r"privacy.epsilon: is 4, and 3.99\d was spent on these rows by earlier runs, which leaves nothing"
    ):
        small(tmp_path / "refused", **{"privacy.epsilon": 4.0})
    small(tmp_path / "second", **{"privacy.epsilon": 6.0})
    second = spending_of(tmp_path / "second")[0]
    assert second.noise_multiplier > fedloom.privacy.noise_multiplier(epsilon=6.0, sample_rate=0.25, steps=6, delta=1e-3)
    assert second.own < 5.0
    assert 5.9 < second.spent <= 6.0
    assert spending_of(tmp_path / "first")[0].spent == second.spent


def test_noise_for_the_steps_of_one_round_is_refused_for_all_of_them(tmp_path):
    for_a_round = fedloom.privacy.noise_multiplier(epsilon=3.0, sample_rate=0.25, steps=2, delta=1e-3)
    said = rf"privacy.noise_multiplier: {for_a_round:g} over all 6 sums spends epsilon .*, more than privacy.epsilon 3; it takes"
    with pytest.raises(FedloomError, match=said) as error:
        small(tmp_path / "run", **{"privacy.epsilon": 3.0, "privacy.noise_multiplier": for_a_round})
    assert error.value.exit_code == 2
    assert not (tmp_path / "run" / "adapter").exists()


def test_a_round_that_would_overspend_is_refused_and_the_run_can_go_on_when_more_is_allowed(tmp_path):
    """Another run spends on the same rows in between."""

    class Spends(StopsAfter):
        def stage(self, name, total):
            if name == "round 2/3" and not (tmp_path / "other").exists():
                small(tmp_path / "other", **{"privacy.noise_multiplier": 0.5, "rounds": 1})

    with pytest.raises(RunStoppedError, match="round 2 had 0 usable replies"):
        small(tmp_path / "run", Spends(9), **{"privacy.epsilon": 4.0})
    reasons = [json.loads(line).get("reason", "") for line in (tmp_path / "run" / "audit.jsonl").read_text().splitlines()]
    assert any("the ledger refuses this round: with it, epsilon" in str(reason) for reason in reasons)
    assert max(number for one in spending_of(tmp_path / "run") for number in one.rounds) == 1


def test_a_ledger_that_was_removed_during_a_run_is_missed(tmp_path):
    class Removes(Observer):
        def stage(self, name, total):
            if name == "round 3/3" and (tmp_path / "home" / "ledgers").exists():
                shutil.rmtree(tmp_path / "home" / "ledgers")

    with pytest.raises(RunStoppedError, match="was removed, though this run is known to have spent something; put it back"):
        small(tmp_path / "run", Removes(), **NOISE)


def test_what_leaves_a_site_holds_no_number_of_its_rows(tmp_path, monkeypatch):
    seen: dict[str, list[Message]] = {}
    answer = Site.answer

    def watched(self, data):
        reply = answer(self, data)
        kind = {"join": "joined", "prepare": "prepared", "train": "update", "evaluate": "measures"}
        for told in kind.values():
            try:
                seen.setdefault(told, []).append(decode(reply, Expected(told, self_round(data), self.name, envelope_of(data))))
            except FedloomError:
                continue
        return reply

    from fedloom.federation.messages import peek

    self_round = lambda data: peek(data)[1]  # noqa: E731
    envelope_of = lambda data: peek(data)[2]  # noqa: E731
    monkeypatch.setattr(Site, "answer", watched)
    small(tmp_path / "run", **NOISE)
    assert {name for message in seen["update"] for name in message.report} == {"steps"}
    assert {message.report["steps"] for message in seen["update"]} == {2}
    assert {name for message in seen["prepared"] for name in message.report} == {"held_out"}
    assert all(not message.body.counts for message in seen["prepared"])
    assert all(not message.body.numbers and not message.body.counts for message in seen["joined"])
    assert len(seen["update"]) == 12
    events = RunFolder(tmp_path / "run").metrics()
    assert not [one for one in events if one["name"] in ("train/loss", "train/tokens", "train/examples", "train/truncated_share")]


def test_private_held_out_rows_are_not_measured_and_baselines_of_them_are_left_out(tmp_path):
    notes = []

    class Listens(Observer):
        def note(self, text):
            notes.append(text)

    measured = {"evaluate.baselines": ["base", "majority", "local"], "evaluate.every": 1, "data.provenance": "private", "rounds": 1}
    run = small(tmp_path / "run", Listens(), **NOISE | measured)
    assert run.status == "finished"
    assert not [name for name in run.metrics if "loss" in name or "exact" in name]
    assert any("majority, local left out: under privacy each would be a further release" in note for note in notes)
    assert any("no client holds rows out that may be measured" in note for note in notes)


def test_public_held_out_rows_are_measured_and_baselines_have_accounts_of_their_own(tmp_path):
    run = small(tmp_path / "run", **NOISE | {"evaluate.every": 3, "evaluate.baselines": ["base", "local", "centralized"]})
    assert math.isfinite(run.metrics["federated/loss"])
    assert math.isfinite(run.metrics["local/loss"])
    one = spending_of(run.folder)[0]
    assert one.steps == 6


def test_the_accounts_of_private_rows_cannot_be_forgotten(tmp_path):
    with pytest.raises(FedloomError, match=r"privacy.ledger: run forgets what other runs have spent, and goes with PUBLIC rows alone"):
        small(tmp_path / "run", **NOISE | {"privacy.ledger": "run", "data.provenance": "private"})


def test_canaries_do_not_tie_owners_together_and_an_owners_rows_stay_one_account(tmp_path):
    one = {"clients": 1, "per_round": 1, "quorum": 1, "rounds": 1, "data.partition": {"kind": "iid"}, "data.provenance": "private"}
    audited = {"prepare": [{"kind": "canaries", "count": 20}], "privacy.epsilon": 1.0, "task.batch_size": 8}
    for name in "ab":
        rows = [{"question": f"{name} {number}?", "answer": f"word {name} {number}"} for number in range(40)]
        (tmp_path / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
        run = small(tmp_path / name, **one, **audited, **{"data.source": str(tmp_path / f"{name}.jsonl")})
        (spending,) = spending_of(run.folder)
        assert spending.spent == spending.own
    with pytest.raises(FedloomError, match="was spent on these rows by earlier runs"):
        small(tmp_path / "again", **one, **audited, **{"data.source": str(tmp_path / "a.jsonl")})


def test_the_noise_depends_on_the_machines_secret(tmp_path, monkeypatch):
    same = [small(tmp_path / name, **NOISE).adapter_sha256 for name in ("a", "b")]
    monkeypatch.setenv("FEDLOOM_HOME", str(tmp_path / "elsewhere"))
    other = small(tmp_path / "c", **NOISE).adapter_sha256
    assert same[0] == same[1] != other


def test_two_workers_end_in_the_same_bytes_as_one(tmp_path):
    one, two = (small(tmp_path / f"{count}", workers=count, **NOISE) for count in (1, 2))
    assert one.adapter_sha256 == two.adapter_sha256
    assert [spent.steps for spent in spending_of(tmp_path / "2")] == [12] * 4


PAIRS = {"data.source": "tiny-pairs"}


@pytest.mark.parametrize("kind", ["dpo", "orpo"])
def test_preference_tasks_train_privately(kind, tmp_path):
    run = small(tmp_path / "run", **NOISE | PAIRS | {"task.kind": kind, "rounds": 2})
    assert torch.isfinite(run.state.flat).all()
    assert {len(one.rounds) for one in spending_of(run.folder)} == {2}


def test_pictures_train_privately(tmp_path):
    settings = {"evaluate.baselines": [], "evaluate.every": 0, "rounds": 1, "task.steps": 1, "privacy.delta": 1e-4}
    run = fedloom.run("pictures_tiny", tmp_path / "run", **NOISE | settings)
    assert torch.isfinite(run.state.flat).all()


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"task.kind": "kto", **PAIRS}, "task.kind: the loss of kto joins the rows of a batch"),
        ({"task.passes": 1.0}, "task.passes: steps that grow with the rows of a client"),
        ({"algorithm.name": "qfedavg"}, "algorithm.name: qfedavg weighs clients by their losses"),
        ({"privacy.epsilon": 0}, "privacy.epsilon: input should be greater than 0"),
        ({"privacy.epsilon": -1}, "privacy.epsilon: input should be greater than 0"),
        ({"privacy.epsilon": math.nan}, "privacy.epsilon: should be a finite number"),
        ({"privacy.epsilon": math.inf}, "privacy.epsilon: should be a finite number"),
        ({"privacy.epsilon": "eight"}, "privacy.epsilon: input should be a valid number"),
        ({"privacy.sampler": "shuffle"}, "privacy.sampler: unknown key"),
        ({"privacy.delta": 0}, "privacy.delta: input should be greater than 0"),
        ({"privacy.clip": 0}, "privacy.clip: input should be greater than 0"),
        ({"privacy.unit": "person"}, "privacy.unit: input should be"),
        ({"privacy.noise_multiplier": None}, "privacy: epsilon: is required, or noise_multiplier in its place"),
    ],
)
def test_what_does_not_go_with_privacy_is_refused_before_anything_is_loaded(settings, said):
    with pytest.raises(RecipeError, match=said):
        load_recipe("tiny", SMALL | NOISE | settings)


def test_written_pairs_are_no_rows_of_their_documents():
    with pytest.raises(RecipeError, match=r"prepare.0: u2s makes a row of several, or several of one"):
        load_recipe("u2s_tiny", NOISE)


def test_a_delta_that_promises_nothing_is_refused(tmp_path):
    with pytest.raises(FedloomError, match=r"privacy.delta: is 0.04, and a client has 32 rows; below 1 / rows \(0.031\)"):
        small(tmp_path / "run", **NOISE | {"privacy.delta": 0.04})


def test_a_site_that_has_planned_nothing_trains_nothing(tmp_path):
    with opened(load_recipe("tiny", SMALL | NOISE), tmp_path / "run") as (local, federation, _):
        for path in local.sites.folder.glob("*/*/privacy.json"):
            path.unlink()
        with pytest.raises(RunStoppedError):
            run_rounds(federation, local.start)
    assert "has not planned what it may spend" in (tmp_path / "run" / "audit.jsonl").read_text()


def test_without_privacy_no_ledger_is_written(tmp_path):
    plain = {key: value for key, value in SMALL.items() if not key.startswith("privacy")}
    fedloom.run("tiny", tmp_path / "run", **plain)
    assert not (tmp_path / "home" / "ledgers").exists()
    with pytest.raises(RecipeError, match="no client of it has spent anything"):
        spending_of(tmp_path / "run")


def test_a_server_that_names_its_federation_anew_gets_no_new_account_of_private_rows(tmp_path):
    with opened(load_recipe("tiny", SMALL | NOISE | {"data.provenance": "private"}), tmp_path / "run") as (local, _, _):
        renamed = local.federation(local.recipe, RunFolder(tmp_path / "again"), name="another")
        open_federation(renamed)
        plans = [json.loads(path.read_text())["account"] for path in local.sites.folder.glob("east/*/privacy.json")]
    assert len(plans) == 2
    assert len(set(plans)) == 1


def test_a_site_refuses_steps_that_its_server_should_not_have_sent(tmp_path):
    recipe = load_recipe("u2s_tiny", {"evaluate.baselines": []})
    with opened(recipe, tmp_path / "run") as (local, federation, _):
        private = {
            "unit": "row",
            "epsilon": 8.0,
            "delta": 1e-3,
            "clip": 1.0,
            "noise_multiplier": None,
            "noise_at": "server",
            "ledger": "rows",
        }
        content = {**federation.agreed.content, "privacy": private | {"rounds": 1, "clients": 3, "drawn": 3, "quorum": 1}}
        agreed = Agreed(content)
        envelope = replace(federation.envelope, agreed=agreed.sha256)
        name = local.sites.owners[0]
        reply = local.sites.answer(name, encode(Message("join", 0, name, {}, {}, envelope, Terms(content))))
        told = decode(reply, Expected("failed", 0, name, envelope))
    assert "these terms protect single rows" in told.body.reason


@pytest.mark.parametrize("left", [(), ("lock",)])
def test_a_new_run_misses_ledgers_that_were_removed_all_together_whoever_looked_for_them(left, tmp_path):
    said = r"ledgers.*jsonl: was removed, though a site of this machine is known to have spent something; put it back"
    ledgers = tmp_path / "home" / "ledgers"
    small(tmp_path / "run", **NOISE)
    shutil.move(ledgers, tmp_path / "kept")
    for name in left:
        ledgers.mkdir()
        (ledgers / name).touch()
    with pytest.raises(LedgerError, match=said):
        spending_of(tmp_path / "run")
    assert sorted(path.name for path in ledgers.glob("*")) == list(left)
    for clients in ({}, {"clients": 3, "per_round": 3, "data.partition": {"kind": "iid"}}):
        with pytest.raises(FedloomError, match=said):
            small(tmp_path / f"again{len(clients)}", **NOISE | clients)
    shutil.rmtree(ledgers, ignore_errors=True)
    shutil.move(tmp_path / "kept", ledgers)
    small(tmp_path / "again", **NOISE)
    assert spending_of(tmp_path / "again")[0].steps == 12


def test_a_client_misses_its_own_ledger_where_others_are_left(tmp_path):
    small(tmp_path / "run", **NOISE)
    one = spending_of(tmp_path / "run")[0]
    os.unlink(one.ledger)
    (tmp_path / "home" / "ledgers" / "index.sqlite").unlink()
    others = [path.rename(tmp_path / path.name) for path in (tmp_path / "home" / "ledgers").glob("*.jsonl")]
    open_account([1])
    (tmp_path / "home" / "ledgers" / others[0].name).touch()
    with pytest.raises(FedloomError, match="was removed, though a site of this machine is known to have spent something"):
        small(tmp_path / "again", **NOISE)


def test_a_full_disk_under_the_ledger_is_named_in_the_line_that_ends_the_run_and_nothing_is_spent(tmp_path, monkeypatch):
    def full(self, event, **facts):
        if event == "spent":
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return enter(self, event, **facts)

    enter = HashChain.enter
    monkeypatch.setattr(HashChain, "enter", full)
    with pytest.raises(RunStoppedError, match=r"round 1 had 0 usable replies .*; client 'west': .*ledgers.*the disk is full"):
        small(tmp_path / "run", **NOISE)
    monkeypatch.undo()
    monkeypatch.setenv("FEDLOOM_HOME", str(tmp_path / "home"))
    assert {one.steps for one in spending_of(tmp_path / "run")} == {0}
    assert fedloom.resume(tmp_path / "run").status == "finished"
    assert {one.steps for one in spending_of(tmp_path / "run")} == {6}


def test_a_unit_without_its_column_is_refused(tmp_path):
    persons = {"privacy.unit": "client", "privacy.delta": 0.05, "data.partition": {"kind": "by_field", "field": "person"}}
    with pytest.raises(FedloomError, match=r"data.partition: 160 of 160 rows have no field 'person'; known: owner") as error:
        small(tmp_path / "run", **NOISE | persons)
    assert error.value.exit_code == 2
