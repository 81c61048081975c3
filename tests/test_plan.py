"""What a run will do, said before it starts: its estimates in numbers, and what it says of the task and the data."""

import pytest

import fedloom
from fedloom.federation.observer import Observer
from fedloom.federation.run_folder import RunFolder
from fedloom.files import read_lines
from fedloom.plan import estimated_seconds, estimated_traffic
from fedloom.resolve import load_recipe


@pytest.mark.parametrize(
    ("baselines", "trained"), [(["base"], 1), (["base", "majority"], 1), (["local"], 2), (["local", "centralized"], 3)]
)
def test_time_is_a_forward_and_two_more_passes_for_every_batch_client_round_and_trained_baseline(baselines, trained):
    recipe = load_recipe("tiny", {"rounds": 10, "evaluate.baselines": baselines})
    # 10 rounds x 4 clients x 6 batches x 0.5 s x (1 forward + 2 for the backward pass)
    assert estimated_seconds(recipe, drawn=4, batch_seconds=0.5, batches=6, workers=1) == 360 * trained
    assert estimated_seconds(recipe, drawn=4, batch_seconds=0.5, batches=6, workers=2) == 180 * trained


@pytest.mark.parametrize(
    ("codec", "bytes_of_one"),
    [
        ("fp32", 4 * 1000 + 4 * 1000),
        ("bf16", 2 * 1000 + 2 * 1000),
    ],
)
def test_traffic_is_an_update_up_and_a_state_down_for_every_client_and_round(codec, bytes_of_one):
    assert estimated_traffic(codec, numel=1000, client_rounds=7) == 7 * bytes_of_one


def test_smaller_codecs_are_estimated_with_their_scales():
    assert 1000 < estimated_traffic("int8", 1000, 1) / 2 < 1200
    assert 500 < estimated_traffic("nf4", 1000, 1) / 2 < 700


class Listens(Observer):
    def __init__(self):
        self.notes = []

    def plan(self, plan):
        self.told = plan

    def note(self, text):
        self.notes.append(text)


def test_the_plan_of_a_run_says_what_it_will_do(tmp_path):
    listener = Listens()
    run = fedloom.run("tiny", tmp_path / "run", listener, rounds=1, per_round=3, **{"task.steps": 2, "evaluate.baselines": []})
    lines = dict(listener.told.lines)
    assert (listener.told.name, listener.told.rounds) == ("tiny", 1)
    assert lines["data"] == "tiny-demo: 128 rows to train on, 32 measured, held by 4 clients"
    assert lines["task"] == "sft: 2 steps of 8 rows a client and round"
    assert lines["algorithm"] == "fedavg, 1 round of 3 of 4 clients, codec fp32"
    assert [measure.name for measure in listener.told.measures] == ["exact_match", "loss", "perplexity"]
    assert listener.told.traffic_bytes == 3 * 2 * 4 * run.state.layout.numel
    assert listener.told.seconds > 0


def test_the_plan_of_training_in_one_place_counts_every_row_and_step_once(tmp_path):
    listener = Listens()
    changes = {"algorithm.name": "centralized", "prepare": [{"kind": "scrub"}], "task.steps": 2, "evaluate.baselines": []}
    run = fedloom.run("tiny", tmp_path / "run", listener, rounds=1, **changes)
    lines = dict(listener.told.lines)
    assert lines["data"] == "tiny-demo: 128 rows to train on, 32 measured, held by 4 clients"
    assert lines["algorithm"] == "centralized, 1 round of 1 of 1 client, codec fp32"
    assert listener.told.traffic_bytes == 2 * 4 * run.state.layout.numel
    kept = RunFolder(run.folder).manifest()["data"]["kept"]
    assert sum(count for found in kept.values() for count in found.values()) == 128


def test_the_plan_counts_steps_by_passes_where_the_task_does(tmp_path):
    listener = Listens()
    fedloom.run("tiny", tmp_path / "run", listener, rounds=1, **{"task.passes": 1, "evaluate.baselines": []})
    assert dict(listener.told.lines)["task"] == "sft: 4 steps of 8 rows a client and round"  # 32 rows of each client, once


def test_the_plan_gives_the_fewest_and_the_most_steps_of_clients_that_differ(tmp_path):
    listener = Listens()
    uneven = {"task.passes": 1, "data.partition": {"kind": "quantity", "alpha": 1.0}, "clients": 3, "per_round": 3}
    run = fedloom.run("tiny", tmp_path / "run", listener, rounds=1, **(uneven | {"evaluate.baselines": []}))
    steps = sorted(event["value"] for event in read_lines(run.folder / "metrics.jsonl") if event["name"] == "train/steps")
    assert steps[0] < steps[-1]
    assert dict(listener.told.lines)["task"] == f"sft: {steps[0]:.0f} to {steps[-1]:.0f} steps of 8 rows a client and round"


def test_a_run_that_can_measure_nothing_says_so_before_it_trains(tmp_path):
    listener = Listens()
    fedloom.run("tiny", tmp_path / "run", listener, rounds=1, **{"data.held_out": 0, "task.steps": 1, "evaluate.baselines": []})
    assert listener.notes == ["no client holds rows out, so nothing is measured; raise data.held_out, or write evaluate.every: 0"]


def test_a_task_without_a_majority_answer_says_so(tmp_path):
    listener = Listens()
    pairs = {"data.source": "tiny-pairs", "task.kind": "dpo", "task.steps": 1, "evaluate.baselines": ["majority"]}
    fedloom.run("tiny", tmp_path / "run", listener, rounds=1, **pairs)
    assert listener.notes == ["evaluate.baselines: dpo has no majority answer to compare with"]
