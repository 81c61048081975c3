"""What the joined model is compared with, on the same data, steps and measures; and samples from public rows alone."""

import json

import pytest

import fedloom
from fedloom.evaluation.baselines import baseline_recipes
from fedloom.federation.run_folder import RunFolder
from fedloom.resolve import load_recipe


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return fedloom.run("tiny", out=tmp_path_factory.mktemp("runs") / "run", rounds=1, **{"task.steps": 2, "codec": "int8"})


def test_each_client_alone_takes_as_many_rounds_and_steps_as_in_the_federation():
    recipe = load_recipe("tiny", {"codec": "int8", "max_update_norm": 5.0, "algorithm.name": "scaffold"})
    alone = baseline_recipes(recipe, "local", 4)
    assert list(alone) == ["local-0", "local-1", "local-2", "local-3"]
    for number, one in enumerate(alone.values()):
        assert (one.algorithm.name, one.algorithm.settings["client"]) == ("local", number)
        assert (one.federation.rounds, one.task) == (recipe.federation.rounds, recipe.task)
        assert (one.federation.quorum, one.federation.codec, one.federation.max_update_norm) == (1, "fp32", None)


@pytest.mark.parametrize(("per_round", "times"), [(None, 4), (2, 2)])
def test_the_centralised_trainer_sees_in_a_step_what_all_clients_of_a_round_see(per_round, times):
    recipe = load_recipe("tiny", {"per_round": per_round, "task.accumulation": 3})
    (one,) = baseline_recipes(recipe, "centralized", 4).values()
    assert one.algorithm.name == "centralized"
    assert one.task.settings["accumulation"] == 3 * times
    assert one.task.settings["steps"] == recipe.task.settings["steps"]


def test_every_baseline_is_measured_on_every_clients_held_out_rows(run):
    events = RunFolder(run.folder).metrics()
    for label in ("base", "local", "centralized", "federated"):
        measured = {event["client"]: event["value"] for event in events if event["name"] == f"held_out/{label}/loss"}
        assert set(measured) == {"north", "east", "south", "west", None}
        assert run.metrics[f"{label}/loss"] == measured[None]
    assert {event["client"] for event in events if event["name"] == "held_out/majority/exact_match"} == {
        "north",
        "east",
        "south",
        "west",
        None,
    }


def test_the_local_measure_is_the_mean_over_the_clients_that_trained_alone(run):
    alone = []
    for number in range(4):
        events = RunFolder(run.folder / "baselines" / f"local-{number}").metrics()
        alone += [e["value"] for e in events if e["name"] == "held_out/local/loss" and e["client"] is None]
    assert len(alone) == 4
    assert run.metrics["local/loss"] == pytest.approx(sum(alone) / 4)


def test_training_helps_and_base_is_the_model_as_it_came(run):
    assert run.metrics["federated/loss"] < run.metrics["base/loss"]
    assert run.metrics["centralized/loss"] < run.metrics["base/loss"]


def test_samples_show_public_rows_before_and_after(run):
    samples = json.loads((run.folder / "samples.json").read_text())
    assert {sample["client"] for sample in samples} == {"north", "east", "south", "west"}
    assert all(sample.keys() == {"client", "system", "prompt", "reference", "before", "after"} for sample in samples)


def test_no_file_of_a_run_on_private_rows_holds_their_text(tmp_path):
    secret = "xylophone"
    rows = [{"question": f"what is {secret} {number}?", "answer": f"a {secret}"} for number in range(12)]
    (tmp_path / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    settings = {"data.source": str(tmp_path / "rows.jsonl"), "data.partition": {"kind": "iid"}, "clients": 2, "per_round": 2, "rounds": 1}
    run = fedloom.run("tiny", out=tmp_path / "run", **settings, **{"task.steps": 1, "evaluate.baselines": ["base", "majority"]})
    assert json.loads((run.folder / "samples.json").read_text()) == []
    for path in run.folder.rglob("*"):
        assert not path.is_file() or secret.encode() not in path.read_bytes()


def test_the_centralised_baseline_does_without_the_rows_of_malicious_clients(tmp_path):
    settings = {"rounds": 1, "task.steps": 1, "evaluate.samples": 0, "evaluate.baselines": ["centralized"]}
    behaviours = ({"kind": "honest"}, {"kind": "flip_answers"})
    honest, attacked = (
        fedloom.run("tiny", tmp_path / kind["kind"], **settings, clients={"malicious": 1, "behaviour": kind}) for kind in behaviours
    )
    assert honest.metrics["federated/loss"] != attacked.metrics["federated/loss"]
    assert honest.metrics["centralized/loss"] == attacked.metrics["centralized/loss"]


def test_a_client_alone_takes_part_in_every_round_whatever_the_federation_says():
    recipe = load_recipe("tiny", {"task.passes": 3.0, "task.participations": 2.0})
    for kind in ("local", "centralized"):
        for baseline in baseline_recipes(recipe, kind, 4).values():
            assert baseline.task.settings["participations"] is None
            assert baseline.task.settings["passes"] == 3.0
