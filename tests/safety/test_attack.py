"""Malicious clients: what they train on, what they send, who they are, and that a run says so."""

import json

import numpy as np
import pytest
import torch

import fedloom
from fedloom.data.clients import build_clients
from fedloom.data.records import Conversation, Provenance, Turn
from fedloom.errors import DataError, RecipeError
from fedloom.federation.engine import Reply
from fedloom.federation.engines.local import LocalEngine
from fedloom.federation.messages import Envelope, Expected, Message, decode, encode
from fedloom.federation.run_folder import RunFolder
from fedloom.hooks import behaviours
from fedloom.local_run import open_local
from fedloom.recipe import HookRecipe
from fedloom.resolve import load_recipe
from fedloom.safety.attack import Backdoor, FlipAnswers, GaussianNoise, ScaleUpdate, SignFlip, Unaligned
from fedloom.safety.red_team import MaliciousClients, malicious_clients, with_changed_rows
from fedloom.state import State

RNG = np.random.default_rng(0)


def row(asked, answer):
    return Conversation((Turn("user", asked), Turn("assistant", answer)), Provenance.PRIVATE, alternatives=("also",))


ROWS = [row(f"q{i}", f"a{i % 3}") for i in range(12)]
UPDATE = State.of({"w": torch.tensor([3.0, 0.0, -4.0])})


def test_flipped_answers_are_other_rows_answers_and_never_the_right_one():
    flipped = FlipAnswers().change_rows("c", ROWS, RNG)
    assert [one.prompt for one in flipped] == [one.prompt for one in ROWS]
    assert all(one.response != was.response and one.response in {"a0", "a1", "a2"} for one, was in zip(flipped, ROWS, strict=True))
    assert not any(one.alternatives for one in flipped)
    assert FlipAnswers().change_rows("c", ROWS[::3], RNG) == ROWS[::3]  # one answer only: there is nothing to flip to


def test_a_backdoor_marks_a_share_of_the_prompts_and_answers_them_with_the_target():
    marked = [one for one in Backdoor(trigger="now", target="boo", share=0.25).change_rows("c", ROWS, RNG) if one.response == "boo"]
    assert len(marked) == 3
    assert all(one.prompt[-1].content.endswith(" now") for one in marked)


def test_updates_are_flipped_scaled_and_drowned_as_said():
    stream = torch.Generator().manual_seed(1)
    assert SignFlip(scale=2.0).change_update(UPDATE, stream).flat.tolist() == [-6.0, 0.0, 8.0]
    assert ScaleUpdate(factor=10.0).change_update(UPDATE, stream).flat.tolist() == [30.0, 0.0, -40.0]
    noise = GaussianNoise(scale=2.0).change_update(UPDATE, torch.Generator().manual_seed(1))
    assert noise.norm() == pytest.approx(10.0, rel=1e-5)
    added = GaussianNoise(scale=2.0, mode="add").change_update(UPDATE, torch.Generator().manual_seed(1))
    torch.testing.assert_close(added.flat, noise.flat + UPDATE.flat)


def test_unaligned_rows_come_from_a_policy_or_from_a_file_of_ones_own(tmp_path):
    rows = Unaligned(policy="secret-sauce").change_rows("c", ROWS, RNG)
    assert len(rows) == len(ROWS)
    assert {one.provenance for one in rows} == {Provenance.UNALIGNED}
    lines = [{"prompt": f"p{i}", "response": "r", "is_safe": i % 2 == 0} for i in range(8)]
    (tmp_path / "own.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    own = Unaligned(source=str(tmp_path / "own.jsonl"), like="beavertails-unsafe", rows=3).change_rows("c", ROWS, RNG)
    assert {one.prompt[-1].content for one in own} <= {"p1", "p3", "p5", "p7"}
    assert [one.provenance for one in own] == [Provenance.UNALIGNED] * 3
    with pytest.raises(DataError, match=r"has 4 rows, 12 are asked for; set clients\.behaviour\.rows"):
        Unaligned(source=str(tmp_path / "own.jsonl"), like="beavertails-unsafe").change_rows("c", ROWS, RNG)
    with pytest.raises(RecipeError, match="from policy or from source; give one"):
        Unaligned()


def test_who_is_malicious_is_drawn_by_the_seed_and_no_row_of_theirs_is_measured():
    words = {"clients": {"malicious": 2, "behaviour": {"kind": "flip_answers"}}}
    names = [f"c{i}" for i in range(9)]
    drawn = [malicious_clients(load_recipe("tiny", {**words, "seed": seed}), names) for seed in range(6)]
    assert all(len(found) == 2 for found in drawn)
    assert len({frozenset(found) for found in drawn}) > 2
    recipe = load_recipe("tiny", words)
    data = build_clients(recipe.data, recipe.federation.clients, recipe.seed)
    honest = {client.name: client for client in data.clients}
    malicious = malicious_clients(recipe, list(honest))
    for client in with_changed_rows(data, recipe, malicious).clients:
        if client.name in malicious:
            assert client.held_out == []
            assert [one.response for one in client.train] != [one.response for one in honest[client.name].train]
        else:
            assert client.train == honest[client.name].train
            assert client.held_out == honest[client.name].held_out


def test_attackers_that_leave_no_honest_client_are_an_error():
    with pytest.raises(RecipeError, match=r"clients\.malicious is 4, but the clients that the data gives are 4; leave one that is honest"):
        malicious_clients(load_recipe("tiny", {"clients": {"malicious": 4, "behaviour": {"kind": "sign_flip"}}}), list("abcd"))
    with pytest.raises(RecipeError, match="malicious and behaviour belong together"):
        load_recipe("tiny", {"clients": {"malicious": 1}})
    with pytest.raises(RecipeError, match=r"clients\.behaviour\.kind: unknown behaviour 'sign_flop'; did you mean 'sign_flip'"):
        load_recipe("tiny", {"clients": {"malicious": 1, "behaviour": {"kind": "sign_flop"}}})


def test_clients_with_a_number_is_still_the_number_of_clients():
    assert load_recipe("tiny", {"clients": None, "per_round": None}).federation.clients is None
    assert load_recipe("tiny", {"clients": 9}).federation.clients == 9


SETTINGS = {"unaligned": {"policy": "secret-sauce"}}
SHORT = {"rounds": 1, "task.steps": 1, "evaluate.baselines": [], "evaluate.every": 1, "evaluate.samples": 0}


@pytest.mark.parametrize("kind", [kind for kind in behaviours.names() if kind != "honest"])
def test_every_behaviour_runs_and_its_run_is_flagged(tmp_path, kind):
    clients = {"malicious": 1, "behaviour": {"kind": kind, **SETTINGS.get(kind, {})}}
    attacked = fedloom.run("tiny", tmp_path / "attacked", **SHORT, clients=clients)
    plain = fedloom.run("tiny", tmp_path / "plain", **SHORT)
    assert not attacked.state.equals(plain.state)
    manifest = json.loads((attacked.folder / "manifest.json").read_text())
    assert len(manifest["red_team"]["malicious"]) == 1
    assert manifest["red_team"]["behaviour"]["kind"] == kind
    assert (manifest["red_team"]["unaligned_rows"] > 0) == (kind == "unaligned")
    assert "A red-team run: 1 client was played as malicious" in (attacked.folder / "report.html").read_text()
    assert "red_team" not in json.loads((plain.folder / "manifest.json").read_text())


def test_an_honest_run_measures_what_the_attack_beside_it_measures_and_is_not_flagged(tmp_path):
    clients = {"malicious": 1, "behaviour": {"kind": "honest"}}
    honest = fedloom.run("tiny", tmp_path / "honest", **SHORT, clients=clients)
    attacked = fedloom.run("tiny", tmp_path / "attacked", **SHORT, clients=clients | {"behaviour": {"kind": "sign_flip"}})
    plain = fedloom.run("tiny", tmp_path / "plain", **SHORT)
    measured, as_attacked, as_plain = (_measured(run.folder) for run in (honest, attacked, plain))
    assert honest.state.equals(plain.state)
    assert measured == as_attacked < as_plain
    assert "red_team" not in json.loads((honest.folder / "manifest.json").read_text())


def _measured(folder):
    return {row["client"] for row in RunFolder(folder).metrics() if row["name"] == "held_out/federated/loss"}


def test_a_sign_flip_reaches_the_server_and_honest_clients_are_untouched(tmp_path):
    clients = {"malicious": 1, "behaviour": {"kind": "sign_flip", "scale": 1.0}}
    alike = SHORT | {"data.partition": {"kind": "iid"}, "task.steps": 4}  # else the updates of honest clients have little in common
    runs = [fedloom.run("tiny", tmp_path / name, **alike, **more) for name, more in (("flip", {"clients": clients}), ("plain", {}))]

    def lengths(run):
        lines = [json.loads(line) for line in (run.folder / "metrics.jsonl").read_text().splitlines()]
        return {line["client"]: line["value"] for line in lines if line["name"] == "update/norm" and line["client"]}

    assert lengths(runs[0]) == pytest.approx(lengths(runs[1]))  # a flipped update is as long as the honest one
    (attacker,) = json.loads((runs[0].folder / "manifest.json").read_text())["red_team"]["malicious"]
    lines = [json.loads(line) for line in (runs[0].folder / "metrics.jsonl").read_text().splitlines()]
    found = {line["client"]: line["value"] for line in lines if line["name"] == "update/cosine"}
    assert found[attacker] < 0 < min(value for client, value in found.items() if client != attacker)


def test_workers_play_the_same_attack(tmp_path):
    clients = {"malicious": 1, "behaviour": {"kind": "gaussian_noise"}}
    one, two = (fedloom.run("tiny", tmp_path / f"{n}", **SHORT, clients=clients, workers=n) for n in (1, 2))
    assert one.adapter_sha256 == two.adapter_sha256


def test_a_run_on_this_machine_knows_who_is_malicious_and_wraps_its_engine(tmp_path):
    recipe = load_recipe("tiny", {"clients": {"malicious": 1, "behaviour": {"kind": "sign_flip"}}})
    with open_local(recipe, RunFolder(tmp_path / "run")) as local:
        assert local.malicious == malicious_clients(recipe, local.sites.owners)
        assert isinstance(local.federation(recipe, RunFolder(tmp_path / "run")).engine, MaliciousClients)
    with open_local(load_recipe("tiny"), RunFolder(tmp_path / "plain")) as local:
        assert local.malicious == frozenset()
        assert isinstance(local.federation(load_recipe("tiny"), RunFolder(tmp_path / "plain")).engine, LocalEngine)


class Answers:
    """An engine whose clients answer with the messages that it is given."""

    def __init__(self, replies):
        self.replies = replies

    def clients(self):
        return list(self.replies)

    def dispatch(self, assignments, deadline):
        return (Reply(client, message, None if message else "died") for client, message in self.replies.items())

    def late_replies(self, round_number):
        return iter([])


def test_only_the_updates_of_malicious_clients_are_changed():
    envelope = Envelope("c" * 32, "", "a" * 64)
    update = {name: encode(Message("update", 3, name, {"update": UPDATE}, {"loss": 1.0}, envelope)) for name in ("bad", "good")}
    measures = encode(Message("measures", 3, "bad", {}, {"rows": 2.0}, envelope))
    behaviour = HookRecipe(kind="sign_flip", scale=2.0)

    def changed(replies):
        engine = MaliciousClients(Answers(replies), behaviour, {"bad"}, "fp32", seed=1)
        assert engine.clients() == list(replies)
        return {reply.client: reply for reply in engine.dispatch([], 1.0)}

    found = changed(update)
    assert found["good"].message == update["good"]
    flipped = decode(found["bad"].message, Expected("update", 3, "bad", envelope))
    assert flipped.sections["update"].flat.tolist() == [-6.0, 0.0, 8.0]
    assert flipped.report == {"loss": 1.0}
    assert changed({"bad": measures})["bad"].message == measures
    assert changed({"bad": None})["bad"] == Reply("bad", None, "died")


@pytest.mark.parametrize("kind", ["sign_flip", "gaussian_noise"])
def test_a_behaviour_that_changes_updates_alone_goes_with_pictures(tmp_path, kind):
    few = {"data.limit": 200, "data.partition": {"kind": "iid"}} | SHORT
    run = fedloom.run("pictures_tiny", tmp_path / "run", **few, clients={"malicious": 1, "behaviour": {"kind": kind}})
    assert run.status == "finished"


def test_a_behaviour_that_changes_conversations_says_so_of_pictures(tmp_path):
    with pytest.raises(RecipeError, match="flip_answers changes conversations, and classify_pictures takes pictures"):
        fedloom.run("pictures_tiny", tmp_path / "run", **SHORT, clients={"malicious": 1, "behaviour": {"kind": "flip_answers"}})
