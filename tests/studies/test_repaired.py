"""Repairs of finished runs, kept in the run's folder."""

import json

import pytest
from attacked_runs import LEVEL1, QUICK, own_policy, rows_file

import fedloom
from fedloom.errors import FedloomError, RecipeError
from fedloom.resolve import load_recipe
from fedloom.safety.repair import Repair
from fedloom.studies.repaired import default_repair, repair_run


@pytest.fixture(scope="module")
def attacked(tmp_path_factory):
    """A finished attacked run without a repair of its own."""
    return fedloom.run("safety_tiny", tmp_path_factory.mktemp("runs") / "attacked", **QUICK, finish=[])


def test_too_few_public_rows_are_an_error(attacked):
    with pytest.raises(RecipeError, match="policy secret-sauce has 312 aligned rows for repair, 500 are asked for; lower rows"):
        repair_run(attacked.folder, LEVEL1 | {"rows": 1000})


def test_a_model_that_cannot_decline_is_not_repaired_by_itself(attacked):
    with pytest.raises(FedloomError, match="declined none of its own requests, so level 3 has nothing to teach it"):
        repair_run(attacked.folder, LEVEL1 | {"level": 3})
    assert not (attacked.folder / "repairs" / "level-3" / "repair.json").exists()


def test_a_finished_run_is_repaired_once_and_kept_as_it_was(attacked):
    before = attacked.adapter_sha256
    repaired = repair_run(attacked.folder, LEVEL1)
    assert repaired.folder == attacked.folder / "repairs" / "level-1"
    assert (repaired.folder / "adapter" / "adapter_model.safetensors").is_file()
    assert repaired.metrics["federated/refusal"] >= 0
    stamp = (repaired.folder / "repair.json").stat().st_mtime_ns
    assert repair_run(attacked.folder, LEVEL1).metrics == repaired.metrics
    assert (repaired.folder / "repair.json").stat().st_mtime_ns == stamp
    repair_run(attacked.folder, LEVEL1 | {"steps": 3})
    assert (repaired.folder / "repair.json").stat().st_mtime_ns > stamp
    assert fedloom.read(attacked.folder).adapter_sha256 == before


def test_an_unfinished_run_is_not_repaired(tmp_path):
    with pytest.raises(RecipeError, match="is not a run folder"):
        repair_run(tmp_path, LEVEL1)


def test_defaults_of_a_repair_come_from_the_recipe():
    recipe = load_recipe("safety_tiny")
    chosen = default_repair(recipe, 2)
    assert (chosen["policy"], chosen["generator"], chosen["steps"]) == ("secret-sauce", "tiny-llama", 4)
    bare = default_repair(load_recipe("safety_tiny", {"finish": []}), 3)
    assert (bare["policy"], bare["generator"]) == ("secret-sauce", None)


def test_a_repair_is_made_anew_when_a_file_that_it_is_made_of_has_changed(tmp_path, attacked):
    rows = rows_file(tmp_path / "rows.jsonl", 20)
    settings = LEVEL1 | {"aligned": rows}
    stamp = (repair_run(attacked.folder, settings).folder / "repair.json").stat().st_mtime_ns
    rows_file(tmp_path / "rows.jsonl", 21)
    assert (repair_run(attacked.folder, settings).folder / "repair.json").stat().st_mtime_ns > stamp


def test_a_repair_that_fails_leaves_the_one_before(attacked, monkeypatch):
    kept = repair_run(attacked.folder, LEVEL1).folder / "repair.json"
    before = kept.read_bytes()

    def failing(*_):
        raise FedloomError("nothing was written")

    monkeypatch.setattr(Repair, "write", failing)
    with pytest.raises(FedloomError, match="nothing was written"):
        repair_run(attacked.folder, LEVEL1 | {"steps": 3})
    assert kept.read_bytes() == before


def test_a_run_whose_data_or_model_has_changed_is_not_repaired(tmp_path):
    rows = tmp_path / "rows.jsonl"
    rows.write_text("\n".join(json.dumps({"instruction": f"q {i}", "output": f"a {i}"}) for i in range(40)))
    run = fedloom.run("safety_tiny", tmp_path / "run", **QUICK, finish=[], **{"data.source": str(rows)})
    rows.write_text(rows.read_text().replace("a 1", "b 1"))
    with pytest.raises(RecipeError, match="its data has changed since the run; bring the old one back, or run anew"):
        repair_run(run.folder, LEVEL1)


def test_the_outside_model_is_that_of_the_command_of_the_recipe_or_the_base(tmp_path):
    own = {"kind": "repair", "level": 2, "policy": "secret-sauce", "generator": "smollm2-135m-instruct"}
    recipe = load_recipe("safety_tiny", {"finish": [own]})
    assert default_repair(recipe, 2)["generator"] == "smollm2-135m-instruct"
    assert default_repair(recipe, 2, generator="other")["generator"] == "other"
    with pytest.raises(RecipeError, match="is the outside model of level 2; level 3 has none"):
        default_repair(recipe, 3, generator="other")
    probe = [{"kind": "refusals", "restricted": "x.csv", "name": "x"}, {"kind": "refusals", "policy": "secret-sauce"}]
    assert default_repair(load_recipe("safety_tiny", {"finish": [], "evaluate.probes": probe}), 1)["policy"] == "secret-sauce"


def test_a_run_whose_probe_has_changed_is_not_repaired(tmp_path):
    policy = own_policy(tmp_path / "own.yaml", name="own")
    run = fedloom.run("safety_tiny", tmp_path / "run", **QUICK, finish=[], **{"evaluate.probes": [{"kind": "refusals", "policy": policy}]})
    own_policy(tmp_path / "own.yaml", name="other")
    with pytest.raises(RecipeError, match=r"own\.yaml has changed since the run; bring the old one back, or run anew"):
        repair_run(run.folder, LEVEL1)


def test_a_run_whose_own_repair_failed_can_be_repaired_in_another_way(tmp_path):
    with pytest.raises(FedloomError, match="declined none of its own requests"):
        fedloom.run("safety_tiny", tmp_path / "run", **QUICK, finish=[{"kind": "repair", **LEVEL1, "level": 3}])
    assert repair_run(tmp_path / "run", LEVEL1).metrics["federated/loss"] > 0
