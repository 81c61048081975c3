"""Clients that answer rounds late: each work comes back once, counts by its staleness, and a resumed run takes in the same replies."""

import json
from collections import Counter

import pytest
from vector_federation import Vector, federation

import fedloom
from fedloom.errors import RecipeError
from fedloom.federation.checkpoint import KEPT
from fedloom.federation.engines.delays import LateReplies
from fedloom.federation.observer import Observer
from fedloom.federation.rounds import run_rounds
from fedloom.models.flat import trained_state
from fedloom.resolve import load_recipe


def late_federation(path, rounds, most=2, buffer_size=1, **terms):
    """A federation of vectors whose replies come up to `most` rounds late, with what its rule was given, in order."""
    made = federation(path, algorithm="fedbuff", rounds=rounds, **terms)
    made.algorithm.buffer_size = buffer_size
    made.engine = LateReplies(made.engine, most, 7, path / "late")
    given = []
    add = made.algorithm.add

    def noting(update, weight, extras, report, client):
        given.append((client, report["staleness"], made.algorithm.steps_taken))
        add(update, weight, extras, report, client)

    made.algorithm.add = noting
    return made, given


class StopsInRoundFour(Observer):
    def client_done(self, stage, client, failure):
        if stage.startswith("round 4/"):
            raise KeyboardInterrupt


def ended(made):
    return run_rounds(made, trained_state(Vector()))


def events(path, name):
    lines = [json.loads(line) for line in (path / "metrics.jsonl").read_text().splitlines()]
    return [event for event in lines if event["name"] == name]


def test_without_delay_the_engine_is_as_it_was(tmp_path):
    made, _ = late_federation(tmp_path / "late", 3, most=0, buffer_size=4)
    plain = federation(tmp_path / "plain", algorithm="fedbuff", rounds=3)
    plain.algorithm.buffer_size = 4
    assert ended(made).equals(ended(plain))


def test_every_work_comes_back_once_and_a_client_at_work_is_given_no_other(tmp_path):
    made, given = late_federation(tmp_path, 9)
    ended(made)
    wire = [json.loads(line) for line in (tmp_path / "wire.jsonl").read_text().splitlines()]
    handed_out = Counter((entry["round"], entry["client"]) for entry in wire if entry["direction"] == "down")
    answered = Counter((entry["round"], entry["client"]) for entry in wire if entry["direction"] == "up")
    late = {
        (event["round"] - int(event["value"]), event["client"]): int(event["value"]) for event in events(tmp_path, "update/rounds_late")
    }
    assert set(handed_out.values()) == set(answered.values()) == {1}
    assert set(late) == set(answered)
    assert {0, 1, 2} == set(late.values())
    still_out = set(handed_out) - set(answered)
    assert all(number + 2 > 9 for number, _ in still_out)
    for (number, client), rounds_late in late.items():
        assert not [other for other, who in handed_out if who == client and number < other <= number + rounds_late]
    assert len(given) == len(answered)
    kept = {int(path.name.removeprefix("round-")) for path in (tmp_path / "late").iterdir()}
    assert min(kept) == 9 - KEPT + 1  # what a checkpoint that is kept may come back to, and no more


def test_a_client_is_told_of_the_last_of_its_replies_that_was_used(tmp_path):
    made, _ = late_federation(tmp_path, 9, codec="int8")
    ended(made)
    arrivals = [(event["client"], event["round"], event["round"] - int(event["value"])) for event in events(tmp_path, "update/rounds_late")]
    told = {(client, message.round): message.report["used"] for client, message in made.engine.engine.received}
    for (client, number), used in told.items():
        assert used == max((begun for who, arrived, begun in arrivals if who == client and arrived < number), default=0)
    assert any(arrived > begun == used for (client, _), used in told.items() for who, arrived, begun in arrivals if who == client)


def test_staleness_is_the_server_steps_since_the_work_was_handed_out(tmp_path):
    made, given = late_federation(tmp_path, 8)
    ended(made)
    arrivals = events(tmp_path, "update/rounds_late")
    assert [event["client"] for event in arrivals] == [client for client, _, _ in given]
    steps_before = {number: sum(event["round"] < number for event in arrivals) for number in range(1, 9)}  # a buffer of one: a step each
    for place, (event, (_, staleness, steps)) in enumerate(zip(arrivals, given, strict=True)):
        assert steps == place
        assert staleness == place - steps_before[event["round"] - int(event["value"])]
    assert max(staleness for _, staleness, _ in given) == 3


@pytest.mark.parametrize("codec", ["fp32", "int8"])
@pytest.mark.parametrize("buffer_size", [1, 3])
def test_a_resumed_run_takes_in_the_same_late_replies(tmp_path, buffer_size, codec):
    settings = {"buffer_size": buffer_size, "codec": codec}
    whole, _ = late_federation(tmp_path / "whole", 7, **settings)
    cut, _ = late_federation(tmp_path / "cut", 7, observer=StopsInRoundFour(), **settings)
    with pytest.raises(KeyboardInterrupt):
        ended(cut)
    resumed, _ = late_federation(tmp_path / "cut", 7, **settings)
    assert ended(resumed).equals(ended(whole))
    assert (tmp_path / "cut" / "metrics.jsonl").read_text().count("rounds_late") == len(events(tmp_path / "whole", "update/rounds_late"))


def test_a_rule_that_waits_takes_no_late_reply(tmp_path):
    with pytest.raises(RecipeError, match=r"federation.delay: fedavg waits for every client"):
        load_recipe("tiny", {"federation.delay": 1})
    made = federation(tmp_path, rounds=2, quorum=1)
    made.engine = LateReplies(made.engine, 2, 7, tmp_path / "late")
    ended(made)
    failed = [json.loads(line) for line in (tmp_path / "audit.jsonl").read_text().splitlines() if '"client failed"' in line]
    assert failed
    assert {entry["reason"] for entry in failed} == {"no reply"}


def test_a_run_with_late_replies_trains_a_model(tmp_path):
    words = {"algorithm": {"name": "fedbuff", "buffer_size": 2}, "federation.delay": 2, "rounds": 5, "evaluate.samples": 0}
    run = fedloom.run("tiny", tmp_path / "run", **words, **{"evaluate.baselines": ["base"]})
    assert run.metrics["federated/loss"] < run.metrics["base/loss"]
    assert {event["value"] for event in events(tmp_path / "run", "update/rounds_late")} >= {0, 1}
