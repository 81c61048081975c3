"""What a federation must equal, on a real (if tiny) language model: plain training, itself resumed, itself on other workers."""

import json
from collections import defaultdict

import pytest
import torch
from local_runs import opened, rows_of
from peft import LoraConfig, get_peft_model, set_peft_model_state_dict
from transformers import AutoModelForCausalLM

import fedloom
from fedloom.data.clients import build_clients
from fedloom.errors import FedloomError, RunStoppedError
from fedloom.federation.observer import Observer
from fedloom.federation.run_folder import RunFolder
from fedloom.federation.schedule import learning_rate
from fedloom.local_run import open_local
from fedloom.models.catalogue import fetch
from fedloom.resolve import load_recipe
from fedloom.sampling import draw_clients
from fedloom.state import State
from fedloom.streams import torch_stream
from fedloom.tasks.gradients import PlainGradients

SMALL = {"evaluate.baselines": [], "evaluate.every": 0, "evaluate.samples": 0, "rounds": 2, "task.steps": 2, "model.adapter.rank": 4}


def small(folder, observer=None, **overrides):
    return fedloom.run("tiny", out=folder, observer=observer, **(SMALL | overrides))


def plain_training(overrides, folder):
    """The run of one client, written as any PyTorch user would: AdamW over a PEFT model, padded batches, the model's own loss."""
    recipe = load_recipe("tiny", SMALL | overrides)
    with opened(recipe, folder) as (local, federation, _):
        (client,) = local.sites.owners
        task, rows, start = federation.task, rows_of(local, federation, client), local.start
    adapter = recipe.model.adapter
    config = LoraConfig(r=adapter.rank, lora_alpha=adapter.alpha, target_modules="all-linear", task_type="CAUSAL_LM")
    model = get_peft_model(AutoModelForCausalLM.from_pretrained(fetch("tiny-llama")), config).train()
    set_peft_model_state_dict(model, {name.replace(".default", ""): tensor for name, tensor in start.items()})
    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
    for number in range(1, recipe.federation.rounds + 1):
        optimiser = torch.optim.AdamW(trained, lr=learning_rate(task, number, recipe.federation.rounds), weight_decay=0.0)
        for (batch,) in PlainGradients().draw(len(rows), task, torch_stream(recipe.seed, "batches", number, client)):
            pairs = [rows.row(index) for index in batch]
            ids = torch.nn.utils.rnn.pad_sequence([ids for ids, _ in pairs], batch_first=True)
            labels = torch.nn.utils.rnn.pad_sequence(
                [ids.masked_fill(~mask, -100) for ids, mask in pairs], batch_first=True, padding_value=-100
            )
            seen = torch.nn.utils.rnn.pad_sequence([torch.ones_like(ids) for ids, _ in pairs], batch_first=True)
            optimiser.zero_grad()
            model(input_ids=ids, attention_mask=seen, labels=labels).loss.backward()
            torch.nn.utils.clip_grad_norm_(trained, task.max_grad_norm)
            optimiser.step()
    return State.of({name: parameter for name, parameter in model.named_parameters() if parameter.requires_grad})


@pytest.mark.parametrize("algorithm", ["fedavg", "fedprox"])
def test_one_client_is_plain_training(tmp_path, algorithm):
    one = {"data.partition": {"kind": "iid"}, "clients": 1, "per_round": 1, "quorum": 1, "task.steps": 3}
    if algorithm == "fedprox":
        one |= {"algorithm": {"name": "fedprox", "prox_mu": 0.0}}
    run = small(tmp_path / "run", **one)
    plain = plain_training(one, tmp_path / "plain")
    assert run.state.layout == plain.layout
    # the loss is summed in other parts and AdamW divides by roots of small numbers: equal but for rounding
    torch.testing.assert_close(run.state.flat, plain.flat, atol=1e-6, rtol=1e-4)


def test_clients_with_equal_rows_are_as_one(tmp_path):
    # every step sees all rows of its client, so that it does not matter in which order they are drawn
    questions = [{"question": f"color of {word}?", "answer": answer} for word, answer in (("sky", "blue"), ("leaf", "green"))]
    states = {}
    for folder, owners in (("one", 1), ("three", 3)):
        (tmp_path / folder).mkdir()
        for owner in range(owners):
            (tmp_path / folder / f"owner{owner}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in questions))
        states[folder] = small(
            tmp_path / f"run-{folder}",
            clients=owners,
            per_round=owners,
            quorum=1,
            **{"data.source": str(tmp_path / folder), "data.held_out": 0, "data.partition": {"kind": "by_field", "field": "client"}},
            **{"task.batch_size": 2},
        ).state
    torch.testing.assert_close(states["one"].flat, states["three"].flat, atol=1e-6, rtol=1e-4)


class Interrupts(Observer):
    """Ctrl-C in round 2, when one client has answered."""

    def client_done(self, stage, client, failure):
        if stage.startswith("round 2/"):
            raise KeyboardInterrupt


@pytest.mark.parametrize("overrides", [{}, {"algorithm.name": "scaffold", "codec": "int8"}, {"model.adapter.dropout": 0.2}])
def test_resumed_run_ends_in_the_same_bytes(tmp_path, overrides):
    with pytest.raises(RunStoppedError, match="go on with `fedloom resume"):
        small(tmp_path / "cut", Interrupts(), **overrides)
    assert fedloom.read(tmp_path / "cut").status == "stopped"
    resumed, whole = fedloom.resume(tmp_path / "cut"), small(tmp_path / "whole", **overrides)
    assert resumed.state.equals(whole.state)
    assert (resumed.status, resumed.adapter_sha256) == ("finished", whole.adapter_sha256)


def test_the_same_run_twice_ends_in_the_same_bytes_and_another_seed_elsewhere(tmp_path):
    first, second, other = (small(tmp_path / name, seed=seed) for name, seed in (("a", 7), ("b", 7), ("c", 8)))
    assert first.adapter_sha256 == second.adapter_sha256
    assert first.adapter_sha256 != other.adapter_sha256


def test_two_workers_end_in_the_same_bytes_as_one(tmp_path):
    settings = {"algorithm.name": "scaffold", "model.adapter.dropout": 0.1}
    one, two = (small(tmp_path / f"{workers}", workers=workers, **settings) for workers in (1, 2))
    assert one.adapter_sha256 == two.adapter_sha256
    assert not [event for event in RunFolder(tmp_path / "2").metrics() if event["name"] == "client/failed"]


@pytest.mark.parametrize(("wanted", "threads"), [("auto", 1), (2, 2)])
def test_clients_work_with_as_many_threads_as_are_asked_for(tmp_path, wanted, threads):
    with open_local(load_recipe("tiny", {"threads": wanted}), RunFolder(tmp_path)) as local:
        assert (local.threads, torch.get_num_threads()) == (threads, threads)


MILD = {
    "krum": {"malicious": 0},
    "multi_krum": {"malicious": 0},
    "bulyan": {"malicious": 0},
    "dnc": {"malicious": 0},
    "fedbuff": {"buffer_size": 2},
    "local": {"client": 1},
}


MODES = {"sft": {}, "dpo": {"task.kind": "dpo", "data.source": "tiny-pairs"}}


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("name", fedloom.algorithms.names())
def test_every_algorithm_trains_in_both_modes(tmp_path, name, mode):
    alone = {"clients": None, "per_round": None, "quorum": 1} if name in ("local", "centralized") else {}
    run = small(tmp_path / "run", algorithm={"name": name, **MILD.get(name, {})}, **alone, **MODES[mode])
    events = RunFolder(run.folder).metrics()
    assert (run.status, run.rounds) == ("finished", 2)
    assert not [event for event in events if event["name"] == "client/failed"]
    assert all(event["value"] > 0 for event in events if event["name"] == "update/norm")
    assert torch.isfinite(run.state.flat).all()


@pytest.mark.parametrize("codec", ["bf16", "int8", "nf4"])
def test_every_codec_trains_close_to_full_precision_with_less_traffic(tmp_path, codec):
    full, coded = small(tmp_path / "fp32"), small(tmp_path / codec, codec=codec)
    assert coded.traffic_bytes < full.traffic_bytes
    losses = [
        [e["value"] for e in RunFolder(run.folder).metrics() if e["name"] == "train/loss" and e["client"] is None] for run in (full, coded)
    ]
    assert losses[0][0] == losses[1][0]  # the first state is sent whole
    assert losses[1][1] == pytest.approx(losses[0][1], rel=0.05)


@pytest.mark.parametrize("codec", ["fp32", "int8"])
def test_clients_of_different_ranks_train_one_adapter(tmp_path, codec):
    ranks = {"east": 1, "north": 2}
    run = small(tmp_path / "run", codec=codec, algorithm={"name": "fedavg", "aggregate": "refactor", "ranks": ranks})
    events = RunFolder(run.folder).metrics()
    assert not [event for event in events if event["name"] == "client/failed"]
    sent = {e["client"]: e["value"] for e in events if e["name"] == "traffic/up_bytes" and e["client"]}
    assert sent["east"] < sent["north"] < sent["south"] == pytest.approx(sent["west"], rel=0.01)
    with pytest.raises(FedloomError, match=r"algorithm\.ranks: there is no client 'eats'; did you mean 'east'"):
        small(tmp_path / "other", algorithm={"name": "fedavg", "aggregate": "refactor", "ranks": {"eats": 1}})


def test_drawn_clients_alone_take_part(tmp_path):
    run = small(tmp_path / "run", per_round=2, rounds=3)
    seen = defaultdict(set)
    for event in RunFolder(run.folder).metrics():
        if event["name"] == "train/loss" and event["client"]:
            seen[event["round"]].add(event["client"])
    recipe = load_recipe("tiny")
    clients = [client.name for client in build_clients(recipe.data, recipe.federation.clients, recipe.seed).clients]
    assert {number: sorted(names) for number, names in seen.items()} == {
        number: sorted(draw_clients(clients, 2, 7, number)) for number in (1, 2, 3)
    }


def test_a_run_that_cannot_train_says_why_in_one_line(tmp_path):
    with pytest.raises(FedloomError) as caught:
        small(tmp_path / "run", learning_rate=1e30, **{"task.steps": 4})
    assert "\n" not in str(caught.value)
    reasons = {json.loads(line).get("reason") for line in (tmp_path / "run" / "audit.jsonl").read_text().splitlines()} - {None}
    assert all("lower task.learning_rate" in reason or "not finite" in reason for reason in reasons)
    assert reasons


def test_updates_that_never_filled_a_buffer_are_mentioned(tmp_path):
    told = []

    class Listener(Observer):
        def note(self, text):
            told.append(text)

    fedloom.run(
        "tiny", tmp_path / "run", Listener(), rounds=1, algorithm={"name": "fedbuff", "buffer_size": 3}, **{"evaluate.baselines": []}
    )
    assert told == ["1 updates still wait for a full buffer at the end, and are not in the joined model"]
