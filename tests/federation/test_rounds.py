"""The round loop: who fails is left out and noted, the rest goes on, and nothing depends on who was faster."""

import json
import random

import pytest
import torch
from vector_federation import CLIENTS, SIZE, Pull, Vector, federation, trained, vector_terms

from fedloom.errors import RunStoppedError
from fedloom.federation.checkpoint import last_checkpoint
from fedloom.federation.engine import Reply
from fedloom.federation.messages import Envelope, Expected, Message, decode, encode, peek
from fedloom.federation.observer import Observer
from fedloom.federation.rounds import ALLOWANCE, run_rounds
from fedloom.federation.run_folder import RunFolder
from fedloom.files import read_lines
from fedloom.hash_chain import verify
from fedloom.models.flat import trained_state
from fedloom.state import State

OTHERS = ("north", "east", "west")


def lost(reason, client="south"):
    return lambda _message: Reply(client, None, reason)


def rewritten(change):
    """The client's reply with one thing about it changed."""

    def fault(data):
        envelope = peek(data)[2]
        message = decode(data, Expected("update", 2, "south", envelope))
        kept = {"kind": "update", "round": 2, "client": "south", "sections": dict(message.sections), "report": dict(message.report)}
        return encode(Message(**({**kept, "envelope": envelope} | change(message))))

    return fault


def update(tensor, name="w"):
    return rewritten(lambda _message: {"sections": {"update": State.of({name: tensor})}})


def report(**values):
    return rewritten(lambda message: {"report": {k: v for k, v in (dict(message.report) | values).items() if v is not None}})


FAULTS = {
    "late": (lost("late: 2 of 3 steps were done at the deadline"), "late: 2 of 3 steps"),
    "dead": (lost("its worker process died (exit code -9)"), "its worker process died"),
    "silent": (lost(None), "no reply"),
    "nan": (update(torch.full((SIZE,), float("nan"))), "'south' refused: section 'update' holds values that are not finite"),
    "infinite": (update(torch.full((SIZE,), float("inf"))), "'south' refused: section 'update' holds values that are not finite"),
    "shape": (update(torch.zeros(SIZE + 1)), f"'south' refused: section 'update': tensor 'w' has shape [{SIZE + 1}], expected [{SIZE}]"),
    "name": (update(torch.zeros(SIZE), "v"), "'south' refused: section 'update': tensor 'w' is missing"),
    "truncated": (lambda data: data[:-7], "'south' refused: the payload does not have the hash"),
    "emptied": (lambda _data: b"", "'south' refused: it is not a message of this program"),
    "oversized": (lambda data: data + bytes(ALLOWANCE), "'south' refused: "),
    "norm": (update(torch.full((SIZE,), 1e4)), "'south' refused: section 'update' has norm"),
    "old": (rewritten(lambda _message: {"round": 1}), "'south' refused: round is 1, expected 2"),
    "posing": (rewritten(lambda _message: {"client": "north"}), "'south' refused: client is 'north', expected 'south'"),
    "no update": (rewritten(lambda _message: {"sections": {}}), "'south' refused: sections are [], expected ['update']"),
    "more": (rewritten(lambda m: {"sections": {**m.sections, "rows": m.sections["update"] * 1.5}}), "'south' refused: "),
    "huge": (update(torch.full((SIZE,), 3e38)), "'south' refused: section 'update' has norm inf, at most 100 is allowed"),
    "more than its rows": (report(examples=1e308), "'south' refused: its report has no valid 'examples'"),
    "next to none": (report(examples=5e-324), "'south' refused: its report has no valid 'examples'"),
    "a huge loss": (report(loss=1e300), "'south' refused: its report has no valid 'loss'"),
    "a share above one": (report(truncated_share=1.5), "'south' refused: its report has no valid 'truncated_share'"),
    "no examples": (report(examples=None), "'south' refused: its report has no valid 'examples'"),
    "examples": (report(examples=0), "'south' refused: its report has no valid 'examples'"),
    "negative": (report(examples=-5), "'south' refused: its report has no valid 'examples'"),
    "endless": (report(steps=10**400), "'south' refused: report 'steps' is not finite"),
    "other run": (
        rewritten(lambda m: {"envelope": Envelope("1" * 32, "", m.envelope.agreed)}),
        "'south' refused: it belongs to another run",
    ),
    "baseline": (
        rewritten(lambda m: {"envelope": Envelope(federation="local-0", agreed=m.envelope.agreed)}),
        "federation is 'local-0', expected ''",
    ),
    "other terms": (rewritten(lambda _message: {"envelope": Envelope()}), "'south' refused: its sender has agreed on other terms"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_client_that_fails_is_left_out_and_noted_and_the_round_goes_on(tmp_path, fault):
    failure, reason = FAULTS[fault]
    state = trained(tmp_path / "faulty", rounds=2, faults={("south", 2): [failure]}, max_update_norm=100.0)

    trained(tmp_path / "others", rounds=1)
    assert state.equals(trained(tmp_path / "others", rounds=2, names=OTHERS))
    noted = [entry for entry in read_lines(tmp_path / "faulty" / "audit.jsonl") if entry["event"] == "client failed"]
    assert [(entry["round"], entry["client"]) for entry in noted] == [(2, "south")]
    assert reason in noted[0]["reason"]
    failed = [event for event in RunFolder(tmp_path / "faulty").metrics() if event["name"] == "client/failed"]
    assert failed == [{"round": 2, "client": "south", "name": "client/failed", "value": 1}]
    assert verify(tmp_path / "faulty" / "audit.jsonl").entries


def scaled(factor):
    return lambda client: rewritten_of(client, lambda sections: {name: state * factor for name, state in sections.items()})


def rewritten_of(client, change):
    """The reply of `client` with other sections."""

    def fault(data):
        _, number, envelope = peek(data)
        message = decode(data, Expected("update", number, client, envelope))
        return encode(Message("update", number, client, change(message.sections), dict(message.report), envelope))

    return fault


@pytest.mark.parametrize("algorithm", ["fedavg", "fedadam", "scaffold", "median", "fedexp"])
@pytest.mark.parametrize("spoilers", [["south"], ["south", "north"]])
def test_a_round_with_an_update_far_longer_than_the_others_is_done_again_without_its_client(tmp_path, algorithm, spoilers):
    faults = {(client, number): [scaled(1e5)(client)] * 3 for client in spoilers for number in (1, 2)}
    state = trained(tmp_path / "spoilt", algorithm=algorithm, rounds=2, faults=faults)
    others = tuple(client for client in CLIENTS if client not in spoilers)
    if algorithm != "scaffold":  # whose clients count N, the absent ones too
        assert state.equals(trained(tmp_path / "others", algorithm=algorithm, rounds=2, names=others))
    noted = [entry for entry in read_lines(tmp_path / "spoilt" / "audit.jsonl") if entry["event"] == "client failed"]
    assert {(entry["round"], entry["client"]) for entry in noted} == {(number, client) for client in spoilers for number in (1, 2)}
    assert all("more than 1,000 times the median" in entry["reason"] for entry in noted)


def test_a_run_stopped_in_a_round_with_a_spoiler_resumes_to_the_same_bytes(tmp_path):
    def faults():
        return {("south", number): [scaled(1e5)("south")] * 3 for number in (1, 2, 3)}

    whole = trained(tmp_path / "whole", algorithm="scaffold", rounds=3, faults=faults())
    with pytest.raises(KeyboardInterrupt):
        trained(tmp_path / "cut", algorithm="scaffold", rounds=3, faults=faults(), observer=Interrupts(2, "west"))
    assert trained(tmp_path / "cut", algorithm="scaffold", rounds=3, faults=faults()).equals(whole)


@pytest.mark.parametrize("bound", [None, 1e7])
def test_without_the_bound_by_the_median_a_long_update_counts(tmp_path, bound):
    faults = {("south", 1): [scaled(1e4)("south")]}
    state = trained(tmp_path / "spoilt", rounds=1, faults=faults, max_update_norm=bound)
    assert state.norm() > 100 * trained(tmp_path / "smooth", rounds=1).norm()


def test_no_update_is_so_long_that_sums_of_it_are_not_finite(tmp_path):
    faults = {(client, 1): [rewritten_of(client, lambda sections: {"update": sections["update"] * 3e38})] for client in ("south", "north")}
    state = trained(tmp_path / "spoilt", rounds=1, faults=faults, max_update_norm=None)
    assert state.equals(trained(tmp_path / "others", rounds=1, names=("east", "west")))


def test_a_step_that_is_not_finite_is_done_again_without_the_longest_update(tmp_path, monkeypatch):
    class Ruined(type(vector_terms("fedavg", "fp32").algorithm)):
        def step(self):
            state = super().step()
            return state * float("nan") if self.ruined else state

        def accumulate(self, contribution):
            self.ruined = self.ruined or contribution.client == "south"
            super().accumulate(contribution)

        def clear_round(self):
            super().clear_round()

        def start(self, state, clients=1):
            self.ruined = False
            super().start(state, clients)

    built = federation(tmp_path / "spoilt", rounds=1, faults={("south", 1): [scaled(2.0)("south")] * 2})
    built.agreed.__dict__["algorithm"] = Ruined()
    state = run_rounds(built, trained_state(Vector()))
    assert state.equals(trained(tmp_path / "others", rounds=1, names=OTHERS))
    (noted,) = [entry for entry in read_lines(tmp_path / "spoilt" / "audit.jsonl") if entry["event"] == "client failed"]
    assert (noted["client"], noted["reason"]) == ("south", "the joined state is not finite, and its update is the longest")


def test_every_round_is_entered_in_the_audit_log_with_its_replies_and_its_state(tmp_path):
    state = trained(tmp_path, rounds=2, faults={("south", 2): [lost("away")]})
    entries = [entry for entry in read_lines(tmp_path / "audit.jsonl") if entry["event"] == "round"]
    assert [(entry["round"], entry["replies"]) for entry in entries] == [(1, 4), (2, 3)]
    assert entries[-1]["state"] == state.sha256()


def test_a_client_without_a_reply_is_left_out_and_those_behind_it_are_not(tmp_path):
    def forgetful(replies):
        return [reply for reply in replies if reply.client != "south"]

    state = trained(tmp_path / "forgetful", rounds=1, order=forgetful)
    assert state.equals(trained(tmp_path / "others", rounds=1, names=OTHERS))


def test_a_client_that_is_late_by_its_own_clock_says_how_far_it_came(tmp_path):
    with pytest.raises(RunStoppedError, match="round 1 had 0 usable replies in each of 2 tries"):
        trained(tmp_path, rounds=1, deadline=1e-9)
    reasons = {entry["reason"] for entry in read_lines(tmp_path / "audit.jsonl") if entry["event"] == "client failed"}
    assert reasons == {"late: 0 of 3 steps were done at the deadline"}


@pytest.mark.parametrize(("algorithm", "codec"), [("fedavg", "fp32"), ("scaffold", "int8"), ("fedadam", "fp32")])
def test_the_order_of_replies_changes_no_byte(tmp_path, algorithm, codec):
    orders = {"as asked": iter, "reversed": reversed, "shuffled": lambda replies: random.Random(1).sample(replies, len(replies))}
    states = [trained(tmp_path / name, algorithm=algorithm, codec=codec, order=order) for name, order in orders.items()]
    assert states[0].equals(states[1])
    assert states[0].equals(states[2])


@pytest.mark.parametrize(("algorithm", "codec"), [("fedavg", "fp32"), ("scaffold", "nf4"), ("feddyn", "fp32")])
def test_a_round_below_quorum_is_tried_again_as_if_for_the_first_time(tmp_path, algorithm, codec):
    fault = lost("its worker process died")
    faults = {("south", 2): [fault]}
    state = trained(tmp_path / "retried", algorithm=algorithm, codec=codec, quorum=4, faults=faults)
    assert state.equals(trained(tmp_path / "smooth", algorithm=algorithm, codec=codec, quorum=4))
    events = [entry for entry in read_lines(tmp_path / "retried" / "audit.jsonl") if entry["event"] == "below quorum"]
    assert [(entry["round"], entry["attempt"], entry["replies"], entry["quorum"]) for entry in events] == [(2, 0, 3, 4)]


def test_a_try_draws_clients_of_its_own(tmp_path):
    drawn = {0: [], 1: []}
    faults = {(client, 1): [lost("away", client), None] for client in CLIENTS}
    built = federation(tmp_path, rounds=1, per_round=2, quorum=2, retries=9, faults=faults)
    run_rounds(built, trained_state(Vector()))
    tries = [client for client, _ in built.engine.received]
    drawn[0], drawn[1] = tries[:2], tries[2:4]
    assert drawn[0] != drawn[1]


@pytest.mark.parametrize(("algorithm", "codec"), [("fedavg", "fp32"), ("scaffold", "int8")])
def test_a_run_that_stays_below_quorum_stops_and_is_resumed_to_the_same_bytes(tmp_path, algorithm, codec):
    away = {("south", 2): [lost("away")] * 2, ("west", 2): [lost("away", "west")] * 2}
    with pytest.raises(RunStoppedError) as caught:
        trained(tmp_path / "stopped", algorithm=algorithm, codec=codec, quorum=3, faults=away)
    assert str(caught.value) == (
        "round 2 had 2 usable replies in each of 2 tries, federation.quorum is 3; "
        "mend the clients and resume, the checkpoint of round 1 stands; client 'west': away"
    )
    assert last_checkpoint(tmp_path / "stopped" / "checkpoints").round == 1
    resumed = trained(tmp_path / "stopped", algorithm=algorithm, codec=codec, quorum=3)
    assert resumed.equals(trained(tmp_path / "smooth", algorithm=algorithm, codec=codec, quorum=3))


def test_a_rule_that_needs_more_clients_than_the_quorum_waits_for_them(tmp_path):
    faults = {(client, 1): [lost("away", client)] for client in ("south", "west")}
    with pytest.raises(RunStoppedError, match="round 1 had 2 usable replies"):
        trained(tmp_path, algorithm="trimmed_mean", quorum=1, retries=0, faults=faults)


class Interrupts(Observer):
    """Ctrl-C when `client` has answered in round `number`."""

    def __init__(self, number, client):
        self.stage_name, self.client = f"round {number}/", client

    def client_done(self, stage, client, failure):
        if stage.startswith(self.stage_name) and client == self.client:
            raise KeyboardInterrupt


@pytest.mark.parametrize(("algorithm", "codec"), [("fedavg", "fp32"), ("scaffold", "int8"), ("fedyogi", "bf16"), ("feddyn", "nf4")])
@pytest.mark.parametrize(("number", "client"), [(1, "north"), (3, "west")])
def test_a_run_interrupted_anywhere_resumes_to_the_same_bytes(tmp_path, algorithm, codec, number, client):
    settings = {"algorithm": algorithm, "codec": codec, "rounds": 4, "evaluate_every": 2}
    with pytest.raises(KeyboardInterrupt):
        trained(tmp_path / "cut", observer=Interrupts(number, client), **settings)
    resumed = trained(tmp_path / "cut", **settings)
    assert resumed.equals(trained(tmp_path / "whole", **settings))

    def measures(name):
        # a reply says how many seconds it took, in more digits or fewer
        timed = ("seconds", "up_bytes")
        return [event for event in RunFolder(tmp_path / name).metrics() if not event["name"].endswith(timed)]

    assert measures("cut") == measures("whole")


def test_a_run_whose_last_checkpoint_is_damaged_redoes_the_round(tmp_path):
    settings = {"algorithm": "scaffold", "codec": "int8", "rounds": 4}
    whole = trained(tmp_path, **settings)
    last = tmp_path / "checkpoints" / "round-00004.checkpoint"
    last.write_bytes(last.read_bytes()[:-1])
    assert trained(tmp_path, **settings).equals(whole)


@pytest.mark.parametrize("codec", ["bf16", "int8", "nf4"])
def test_clients_and_server_hold_the_same_reference_to_the_bit(tmp_path, codec):
    built = federation(tmp_path, algorithm="scaffold", codec=codec, rounds=5, per_round=3)
    run_rounds(built, trained_state(Vector()))
    checkpoint = last_checkpoint(tmp_path / "checkpoints")
    holding = [client for client, number in checkpoint.held.items() if number == 5]
    assert len(holding) == 3
    for client in holding:
        memory = built.engine.memory(client).before(6)
        assert memory["reference"].equals(checkpoint.memory["broadcast/reference"])


def test_a_client_that_missed_a_round_gets_the_whole_state(tmp_path):
    faults = {("south", 3): [lost("away")]}
    built = federation(tmp_path, codec="int8", rounds=5, faults=faults)
    run_rounds(built, trained_state(Vector()))
    sent = {(client, message.round): set(message.sections) for client, message in built.engine.received}
    whole = {key for key, sections in sent.items() if "state" in sections}
    assert whole == {(client, 1) for client in CLIENTS} | {("south", 4)}
    assert {tuple(sent[key]) for key in sent.keys() - whole} == {("difference",)}


def test_a_client_that_was_not_drawn_gets_the_whole_state_the_next_time(tmp_path):
    built = federation(tmp_path, codec="int8", rounds=8, per_round=2)
    run_rounds(built, trained_state(Vector()))
    took_part = {(client, message.round) for client, message in built.engine.received}
    for client, message in built.engine.received:
        assert ("difference" in message.sections) == ((client, message.round - 1) in took_part)


def test_a_client_that_lost_its_memory_is_left_out_once_and_then_sent_the_whole_state(tmp_path):
    class Forgets(Observer):
        def client_done(self, stage, client, failure):
            if stage.startswith("round 2/") and client == "west":
                for path in built.engine.memory("south").folder.glob("*.memory"):
                    path.unlink()

    built = federation(tmp_path, codec="int8", rounds=4, observer=Forgets())
    run_rounds(built, trained_state(Vector()))
    failed = [entry for entry in read_lines(tmp_path / "audit.jsonl") if entry["event"] == "client failed"]
    assert [(entry["round"], entry["client"]) for entry in failed] == [(3, "south")]
    assert "this client has lost the state it refers to" in failed[0]["reason"]
    assert [set(m.sections) for c, m in built.engine.received if c == "south" and m.round == 4] == [{"state"}]


def test_coding_loss_on_the_way_down_and_up_does_not_add_up(tmp_path):
    full = trained(tmp_path / "fp32", rounds=8)
    for codec in ("bf16", "int8", "nf4"):
        coded = trained(tmp_path / codec, rounds=8, codec=codec)
        assert (coded - full).norm() / full.norm() < 0.1


def test_the_joined_vector_moves_to_where_the_clients_pull_it(tmp_path):
    state = trained(tmp_path, rounds=12, evaluate_every=3)
    losses = [e["value"] for e in RunFolder(tmp_path).metrics() if e["name"] == "held_out/federated/loss" and e["client"] is None]
    assert losses == sorted(losses, reverse=True)
    assert len(losses) == 4
    assert state.norm() > 1


def test_a_client_that_fails_to_measure_is_left_out_of_the_measures(tmp_path):
    class Loses(Observer):
        failures = ()

        def client_done(self, stage, client, failure):
            if failure:
                self.failures += ((stage, client, failure),)

    built = federation(tmp_path, rounds=1, evaluate_every=1, observer=Loses(), faults={("south", 1): [None, lost("away")]})
    run_rounds(built, trained_state(Vector()))
    assert built.observer.failures == (("federated measured", "south", "away"),)
    measured = {e["client"]: e["value"] for e in RunFolder(tmp_path).metrics() if e["name"] == "held_out/federated/rows"}
    assert measured == {"north": 6, "east": 6, "west": 6, None: 18}


def measures(**sums):
    """The client's sums of its held-out rows, with some of them changed."""

    def fault(data):
        message = decode(data, Expected("measures", 1, "south", peek(data)[2]))
        return encode(Message("measures", 1, "south", {}, dict(message.report) | sums, message.envelope))

    return fault


@pytest.mark.parametrize("sums", [{"rows": 7}, {"rows": 5.5}, {"rows": 0}, {"rows": -6}])
def test_sums_that_the_rows_of_a_client_cannot_have_are_left_out(tmp_path, sums):
    built = federation(tmp_path, rounds=1, evaluate_every=1, faults={("south", 1): [None, measures(**sums)]})
    built.prepared |= {client: {"train": 20, "held_out": 6, "weight": 20} for client in CLIENTS}
    run_rounds(built, trained_state(Vector()))
    measured = {e["client"]: e["value"] for e in RunFolder(tmp_path).metrics() if e["name"] == "held_out/federated/rows"}
    assert measured == {"north": 6, "east": 6, "west": 6, None: 18}


@pytest.mark.parametrize(("train", "left_out"), [(20, []), (14, ["south"])])
def test_a_client_that_reports_more_examples_than_it_has_rows_is_left_out(tmp_path, train, left_out):
    built = federation(tmp_path, rounds=1)
    built.prepared["south"] = {"train": train, "held_out": 6, "weight": train}
    run_rounds(built, trained_state(Vector()))
    failed = [entry for entry in read_lines(tmp_path / "audit.jsonl") if entry["event"] == "client failed"]
    assert [entry["client"] for entry in failed] == left_out
    assert all("it reports more examples than it has rows" in entry["reason"] for entry in failed)


def test_a_failure_is_called_a_failure_in_the_wire_log(tmp_path):
    with pytest.raises(RunStoppedError):
        trained(tmp_path, rounds=1, deadline=1e-9, retries=0)
    assert {entry["kind"] for entry in read_lines(tmp_path / "wire.jsonl") if entry["direction"] == "up"} == {"failed"}


def round_one(path, start=0.0, **settings):
    """client -> its reply in the first round; and (client, name) -> what was measured then, the client None for the federation's own."""
    seen = {}

    def listen(client):
        return lambda data: seen.update({client: decode(data, Expected("update", 1, client, peek(data)[2]))}) or data

    built = federation(path, rounds=1, faults={(client, 1): [listen(client)] for client in CLIENTS}, **settings)
    run_rounds(built, State.of({"w": torch.full((SIZE,), start)}))
    return seen, {(event["client"], event["name"]): event["value"] for event in RunFolder(path).metrics() if event["round"] == 1}


EXAMPLES = {"north": 15, "east": 14, "south": 15, "west": 14}
"""A site of this federation counts ten examples and one for every letter of its name."""


def test_the_train_loss_of_a_round_weighs_the_clients_by_their_examples(tmp_path):
    seen, measured = round_one(tmp_path)
    losses = {client: message.report["loss"] for client, message in seen.items()}
    expected = sum(EXAMPLES[client] * losses[client] for client in CLIENTS) / 58
    assert measured[None, "train/loss"] == pytest.approx(expected)
    assert len(set(losses.values())) == 4
    assert abs(expected - sum(losses.values()) / 4) > 1e-3


def test_a_client_reports_its_mean_loss_over_all_its_rows_before_training_where_the_rule_asks_for_it(tmp_path):
    seen, _ = round_one(tmp_path / "asked", algorithm="qfedavg")
    for client in CLIENTS:
        rows = torch.stack(Pull().load(tmp_path / client))
        # the loss of a row is its squared distance to the model, which is zero at the start
        assert seen[client].report["loss_before"] == pytest.approx(float(rows.square().sum(1).mean()))
    seen, _ = round_one(tmp_path / "not asked")
    assert all("loss_before" not in message.report for message in seen.values())


def test_a_round_records_what_its_clients_report_and_how_their_updates_lie_to_the_step(tmp_path):
    seen, measured = round_one(tmp_path, start=0.5)
    updates = {client: message.sections["update"].flat for client, message in seen.items()}
    step = sum(EXAMPLES[client] * updates[client] for client in CLIENTS) / 58
    for client, update in updates.items():
        for name in ("loss", "seconds", "steps", "examples", "tokens", "truncated_share"):
            assert measured[client, f"train/{name}"] == seen[client].report[name]
        assert measured[client, "train/examples"] == EXAMPLES[client]
        assert measured[client, "train/truncated_share"] == 3 / 6
        assert measured[client, "update/norm"] == pytest.approx(float(update.norm()))
        assert measured[client, "update/cosine"] == pytest.approx(float(update @ step / update.norm() / step.norm()), abs=1e-5)
        assert measured[client, "update/projection"] == pytest.approx(float(update @ step / step.norm() ** 2), abs=1e-5)
    assert measured[None, "update/norm"] == pytest.approx(float(step.norm()), rel=1e-5)
    assert measured[None, "round/replies"] == 4
    assert measured[None, "round/seconds"] > 0


def test_a_state_is_measured_on_the_rows_of_each_client_and_of_all_together(tmp_path):
    state = trained(tmp_path, rounds=1, evaluate_every=1)
    measured = {(e["client"], e["name"]): e["value"] for e in RunFolder(tmp_path).metrics() if e["name"].startswith("held_out")}
    distances = {client: (torch.stack(Pull().load(tmp_path / client)) - state.flat).square().sum(1) for client in CLIENTS}
    for client, found in distances.items():
        assert measured[client, "held_out/federated/loss"] == pytest.approx(float(found.mean()), rel=1e-5)
        assert measured[client, "held_out/federated/rows"] == 6
    assert measured[None, "held_out/federated/loss"] == pytest.approx(float(torch.cat(list(distances.values())).mean()), rel=1e-5)
    assert measured[None, "held_out/federated/rows"] == 24
    assert len({round(float(found.mean()), 3) for found in distances.values()}) == 4


@pytest.mark.parametrize(("every", "start", "rounds"), [(2, True, [0, 2, 4, 5]), (2, False, [2, 4, 5]), (9, False, [5]), (0, True, [])])
def test_a_state_is_measured_every_so_many_rounds_and_after_the_last(tmp_path, every, start, rounds):
    built = federation(tmp_path, rounds=5, evaluate_every=every)
    built.measure_start = start and bool(every)
    run_rounds(built, trained_state(Vector()))
    found = [
        (e["round"], e["name"].split("/")[1]) for e in RunFolder(tmp_path).metrics() if e["client"] is None and "held_out" in e["name"]
    ]
    assert sorted(set(found)) == [(number, "federated" if number else "base") for number in rounds]


def test_a_probe_measures_the_state_that_a_run_starts_from_and_every_measured_one(tmp_path):
    built = federation(tmp_path, rounds=4, evaluate_every=2)
    built.probe = lambda state: {"norm": state.norm()}
    end = run_rounds(built, trained_state(Vector()))
    found = [(e["round"], e["name"], e["value"]) for e in RunFolder(tmp_path).metrics() if e["name"].startswith("probe/")]
    assert [one[:2] for one in found] == [(0, "probe/base/norm"), (2, "probe/federated/norm"), (4, "probe/federated/norm")]
    assert (found[0][2], found[2][2]) == (0.0, end.norm())


def test_every_message_of_a_round_is_in_the_wire_log_and_in_its_measures(tmp_path):
    trained(tmp_path, rounds=2)
    wire = read_lines(tmp_path / "wire.jsonl")
    assert [(entry["round"], entry["direction"], entry["kind"]) for entry in wire].count((2, "up", "update")) == 4
    assert [(entry["round"], entry["direction"], entry["kind"]) for entry in wire].count((2, "down", "train")) == 4
    measured = {(e["round"], e["name"]): e["value"] for e in RunFolder(tmp_path).metrics() if e["client"] is None}
    for number in (1, 2):
        for direction in ("up", "down"):
            total = sum(entry["bytes"] for entry in wire if (entry["round"], entry["direction"]) == (number, direction))
            assert measured[number, f"traffic/{direction}_bytes"] == total


def test_a_refused_message_is_in_the_wire_log_too(tmp_path):
    trained(tmp_path, rounds=1, faults={("south", 1): [lambda _data: b"junk"]})
    assert [e["bytes"] for e in read_lines(tmp_path / "wire.jsonl") if e["client"] == "south" and e["direction"] == "up"] == [4]


def test_no_line_of_the_logs_holds_more_than_measures_and_reasons(tmp_path):
    trained(tmp_path, rounds=1, faults={("south", 1): [lost("away")]})
    for name in ("audit.jsonl", "wire.jsonl", "metrics.jsonl"):
        for line in (tmp_path / name).read_text().splitlines():
            assert all(isinstance(value, int | float | str | None) for value in json.loads(line).values())


@pytest.mark.parametrize("refused", [False, True], ids=["done again", "refused"])
def test_a_reply_that_was_not_used_leaves_no_trace_at_its_client(tmp_path, refused):
    """SCAFFOLD's server variate is the mean of the clients' ones, N clients in all, only if neither side counts what the other does not."""
    spoilt = (lambda data: data[:-7]) if refused else lost("gone")
    faults = {("south", 2): [spoilt], ("west", 2): [] if refused else [lost("gone")]}
    settings = {"rounds": 5, "quorum": 3, "per_round": 3, "faults": faults}
    made = federation(tmp_path, algorithm="scaffold", **settings)
    run_rounds(made, trained_state(Vector()))
    checkpoint = last_checkpoint(tmp_path / "checkpoints")
    own = []
    for client in CLIENTS:
        memory = made.engine.memory(client).before(checkpoint.used.get(client, 0) + 1)
        own.append(memory["control"].flat if memory else torch.zeros(SIZE))
    torch.testing.assert_close(checkpoint.memory["control"].flat, torch.stack(own).mean(0), atol=1e-5, rtol=1e-4)
