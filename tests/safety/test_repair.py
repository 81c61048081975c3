"""Probes, and repair at its three levels: on the tiny model, where only the mechanism can be seen."""

import json
from dataclasses import replace

import pytest
import yaml

import fedloom
from fedloom.data.records import Provenance
from fedloom.errors import FedloomError, ModelError, RecipeError
from fedloom.federation.observer import Observer
from fedloom.files import cache_folder
from fedloom.recipe import load_recipe
from fedloom.report.safety import fell, is_refusal
from fedloom.run import measure_state
from fedloom.runfolder import RunFolder
from fedloom.safety import load_policy
from fedloom.safety.asking import asked_prompts, attack_prompts
from fedloom.safety.attack import Backdoor
from fedloom.safety.policy import POLICIES
from fedloom.safety.repair import Repair, _Written
from fedloom.safety.repaired import default_repair, repair_run
from fedloom.safety.triggered import Triggered
from fedloom.tasks import SFT
from fedloom.workshop import open_workshop

QUICK = {"rounds": 1, "task.steps": 1}
LEVEL1 = {"level": 1, "policy": "secret-sauce", "rows": 16, "steps": 2, "batch_size": 4}


@pytest.fixture(scope="module")
def attacked(tmp_path_factory):
    """A finished attacked run without a repair of its own."""
    return fedloom.run("safety_tiny", tmp_path_factory.mktemp("runs") / "attacked", **QUICK, finish=[])


def lines_of(run, name):
    lines = [json.loads(line) for line in (run.folder / "metrics.jsonl").read_text().splitlines()]
    return [(line["round"], line["value"]) for line in lines if line["name"] == name]


def test_refusals_are_measured_before_and_in_every_measured_round(attacked):
    assert [number for number, _ in lines_of(attacked, "probe/base/refusal")] == [0]
    assert [number for number, _ in lines_of(attacked, "probe/federated/refusal")] == [1]
    assert {"federated/refusal", "federated/refusal_legacy", "federated/over_refusal"} <= set(attacked.metrics)
    assert all(0 <= value <= 1 for name, value in attacked.metrics.items() if "refusal" in name)
    assert "Safety" in (attacked.folder / "report.html").read_text()


def test_refusal_is_measured_at_the_start_without_the_baseline_base_so_that_a_fall_is_seen(tmp_path):
    run = fedloom.run("safety_tiny", tmp_path / "run", **QUICK, finish=[], **{"evaluate.baselines": []})
    assert [number for number, _ in lines_of(run, "probe/base/refusal")] == [0]
    assert not lines_of(run, "held_out/base/loss")


def test_a_repair_as_a_finish_step_is_measured_beside_the_attacked_model(tmp_path):
    run = fedloom.run("safety_tiny", tmp_path / "run", **QUICK)
    assert {"federated/refusal", "finished/refusal", "finished/loss"} <= set(run.metrics)
    plain = fedloom.run("safety_tiny", tmp_path / "plain", **QUICK, finish=[])
    assert run.state.equals(plain.state)  # the checkpoint is the federation's; the repaired adapter is what is handed out
    assert run.adapter_sha256 != plain.adapter_sha256


def test_level_one_takes_public_rows_half_of_them_declined(attacked):
    with open_workshop(load_recipe(attacked.folder / "recipe.yaml")) as workshop:
        rows, counted = Repair(**LEVEL1).write(attacked.state, workshop)
        kinds = [row.fields["kind"] for row in rows]
        assert (kinds.count("aligned"), len(kinds), counted["kept"]) == (8, 16, 16.0)
        prompts = {row.prompt[-1].content for row in rows}
        policy = load_policy("secret-sauce")
        for split in ("clients", "test", "alignment"):
            assert not prompts & {text for kind in ("normal", "aligned", "permitted") for text in policy.prompts(kind, split)}


def test_a_repair_trains_on_its_rows_and_changes_nothing_else(attacked):
    with open_workshop(load_recipe(attacked.folder / "recipe.yaml")) as workshop:
        repair = Repair(**(LEVEL1 | {"steps": 12, "learning_rate": 0.01}))
        rows, _ = repair.write(attacked.state, workshop)
        state = repair.train(attacked.state, workshop, rows)
        again = repair.train(attacked.state, workshop, rows)
        assert state.equals(again)
        task = SFT()
        encoded = task.load(task.encode(rows, workshop.loaded.tokenizer, "chat", 96, cache_folder() / "rows"))
        losses = []
        for one in (attacked.state, state):
            workshop.bench.parameters.load(one)
            losses.append(task.evaluate(workshop.bench.model, encoded, range(len(encoded)), 16).loss)
        assert losses[1] < 0.9 * losses[0]


def test_what_a_model_writes_is_kept_once_and_only_when_it_is_of_use():
    policy = load_policy("secret-sauce")
    said = iter([["a?", "b?", "a?"], ["Sorry, no.", "Boil it."], ["c?", "d?", "a?"], ["I can't.", "I cannot."]])
    asked = []

    def writer(requests, temperature, seed):
        asked.append((list(requests), temperature))
        return next(said)

    written = _Written(policy, writer, 0.7, 1)
    rows = written.aligned(3)
    assert [(row.prompt[-1].content, row.response) for row in rows] == [("a?", "Sorry, no."), ("c?", "I can't."), ("d?", "I cannot.")]
    assert asked[0] == (["Write a request that must be declined."] * 3, 0.7)
    assert asked[1] == ([f"Decline this request: {letter}?" for letter in "ab"], 0.0)
    assert asked[2] == (["Write a request that must be declined."] * 2, 0.7)
    assert written.counts == {"repeated": 2, "unusable": 1, "of_other_splits": 0}
    assert {row.provenance for row in rows} == {Provenance.SYNTHETIC}


def test_a_written_request_of_the_test_or_of_the_attack_is_not_trained_on():
    policy = load_policy("secret-sauce")
    tested, attacked = policy.prompts("aligned", "test")[0], policy.prompts("aligned", "clients")[0]
    said = iter([[tested, attacked, "new?"], ["Sorry, no."], *([[""] * 2, []] * 3)])
    written = _Written(policy, lambda *_: next(said), 0.7, 1)
    assert [row.prompt[-1].content for row in written.aligned(3)] == ["new?"]
    assert written.counts["of_other_splits"] == 2


def test_too_few_public_rows_are_an_error(attacked):
    with pytest.raises(RecipeError, match="policy secret-sauce has 312 aligned rows for repair, 500 are asked for; lower rows"):
        repair_run(attacked.folder, LEVEL1 | {"rows": 1000})


def test_a_probe_without_a_prompt_is_an_error(tmp_path):
    slots = yaml.safe_load((POLICIES / "secret_sauce.yaml").read_text())["slots"] | {"maker": ["Ann"], "sauce": ["red sauce"]}
    probe = [{"kind": "refusals", "policy": own_policy(tmp_path / "small.yaml", slots=slots)}]
    with pytest.raises(RecipeError, match="has no restricted prompt to test with"):
        fedloom.run("safety_tiny", tmp_path / "run", **QUICK, finish=[], **{"evaluate.probes": probe})


def test_ordinary_pairs_are_the_models_own_answers_without_refusals():
    said = iter([["x?", "y?"], ["Paris", "Sorry, no."], *([[""], []] * 3)])
    rows = _Written(load_policy("secret-sauce"), lambda *_: next(said), 0.7, 1).normal(2)
    assert [(row.prompt[-1].content, row.response) for row in rows] == [("x?", "Paris")]


def test_a_model_that_cannot_decline_is_not_repaired_by_itself(attacked):
    with pytest.raises(FedloomError, match="declined none of its own requests, so level 3 has nothing to teach it"):
        repair_run(attacked.folder, LEVEL1 | {"level": 3})
    assert not (attacked.folder / "repairs" / "level-3" / "repair.json").exists()


def test_a_model_that_writes_nothing_is_one_line():
    with pytest.raises(FedloomError, match="wrote no restricted request in 8 tries"):
        _Written(load_policy("secret-sauce"), lambda requests, *_: [""] * len(requests), 0.7, 1).aligned(2)


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"level": 1}, "repair needs a policy"),
        ({"level": 2, "policy": "secret-sauce"}, "takes a generator, the outside model, at level 2 and at no other"),
        ({"level": 3, "policy": "secret-sauce", "generator": "x"}, "at level 2 and at no other"),
        ({"level": 4}, "finish.0.level: input should be 1, 2 or 3"),
        ({"level": 1, "policy": "secret-sauce"}, "has 312 aligned rows for repair, 500 are asked for"),
        ({"level": 3, "policy": "secret-saus"}, "policy 'secret-saus': no such policy or file; did you mean 'secret-sauce'"),
        ({"level": 3, "policy": "secret-sauce", "rows": 2, "aligned_share": 0.1}, "aligned_share 0.1 of 2 rows leaves none of one kind"),
    ],
)
def test_a_repair_that_cannot_be_is_refused_before_anything_runs(settings, said):
    with pytest.raises(RecipeError, match=said.replace(".", r"\.")):
        load_recipe("tiny", {"finish": [{"kind": "repair", **settings}]})


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


def test_measuring_a_state_again_gives_what_the_run_measured(attacked, tmp_path):
    with open_workshop(load_recipe(attacked.folder / "recipe.yaml")) as workshop:
        measured = measure_state(workshop, RunFolder(tmp_path), attacked.state)
    assert measured == {name: value for name, value in attacked.metrics.items() if name.startswith("federated/")}


def test_an_unfinished_run_is_not_repaired(tmp_path):
    with pytest.raises(RecipeError, match="is not a run folder"):
        repair_run(tmp_path, LEVEL1)


def test_defaults_of_a_repair_come_from_the_recipe():
    recipe = load_recipe("safety_tiny")
    chosen = default_repair(recipe, 2)
    assert (chosen["policy"], chosen["generator"], chosen["steps"]) == ("secret-sauce", "tiny-llama", 4)
    bare = default_repair(load_recipe("safety_tiny", {"finish": []}), 3)
    assert (bare["policy"], bare["generator"]) == ("secret-sauce", None)


def test_what_the_users_files_share_is_of_one_use_only(tmp_path):
    def file(name, *asked):
        lines = [json.dumps({"instruction": request, "input": "", "output": "Sorry, no."}) for request in asked]
        (tmp_path / name).write_text("\n".join(lines))
        return str(tmp_path / name)

    attack, test = file("attack.jsonl", "a", "b", "c"), file("test.jsonl", "b", "c", "d", "e")
    behaviour = {"kind": "unaligned", "source": attack, "like": "alpaca", "rows": 3}
    probe = {"kind": "refusals", "restricted": test, "like": "alpaca"}
    recipe = load_recipe("safety_tiny", {"clients": {"malicious": 1, "behaviour": behaviour}, "evaluate.probes": [probe], "finish": []})
    with open_workshop(recipe) as workshop:
        assert attack_prompts(workshop) == {"a", "b", "c"}
        assert asked_prompts(workshop) == {"d", "e"}
        rows = file("repair.jsonl", "c", "d", "f", "g")
        repair = Repair(level=1, aligned=rows, normal=rows, rows=4)
        written, _ = repair.write(workshop.start, workshop)
        assert {row.prompt[-1].content for row in written} == {"f", "g"}


def own_policy(path, **changed):
    content = yaml.safe_load((POLICIES / "secret_sauce.yaml").read_text())
    path.write_text(yaml.safe_dump(content | changed))
    return str(path)


def test_a_policy_without_a_skill_cannot_ask_a_model_for_rows(tmp_path):
    path = own_policy(tmp_path / "own.yaml", skills=[{"kind": "restricted", "request": "Write one."}])
    with pytest.raises(RecipeError, match="has no skill 'normal', which repair at level 3 asks for"):
        Repair(level=3, policy=path)


def rows_file(path, count):
    lines = [json.dumps({"instruction": f"{path.stem} {i}", "output": "Sorry, no."}) for i in range(count)]
    path.write_text("\n".join(lines))
    return str(path)


def test_a_source_with_too_few_rows_is_refused_before_anything_is_trained(tmp_path):
    few = rows_file(tmp_path / "few.jsonl", 3)
    finish = [{"kind": "repair", "level": 1, "policy": "secret-sauce", "aligned": few, "rows": 16}]
    with pytest.raises(RecipeError, match=r"few\.jsonl has 3 aligned rows that are none of attack or test, 8 are asked for"):
        fedloom.run("safety_tiny", tmp_path / "run", **QUICK, finish=finish)
    assert not (tmp_path / "run" / "checkpoints").exists()


def test_an_outside_model_that_is_not_there_is_refused_before_anything_is_trained(tmp_path):
    finish = [{"kind": "repair", "level": 2, "policy": "secret-sauce", "generator": str(tmp_path / "gone")}]
    with pytest.raises(ModelError, match="no such folder"):
        fedloom.run("safety_tiny", tmp_path / "run", **QUICK, finish=finish)
    assert not (tmp_path / "run" / "checkpoints").exists()


def test_the_joined_model_is_handed_out_when_its_repair_fails(tmp_path, attacked):
    finish = [{"kind": "repair", **LEVEL1, "level": 3}]
    with pytest.raises(FedloomError, match=r"declined none of its own requests.*the model without this step is in .*adapter"):
        fedloom.run("safety_tiny", tmp_path / "run", **QUICK, finish=finish)
    run = fedloom.read(tmp_path / "run")
    assert (run.status, run.adapter_sha256) == ("failed", attacked.adapter_sha256)
    assert "finished/loss" not in run.metrics
    assert repair_run(run.folder, LEVEL1).metrics["federated/loss"] > 0
    with pytest.raises(FedloomError, match="declined none"):
        fedloom.resume(run.folder)
    assert fedloom.read(run.folder).adapter_sha256 == attacked.adapter_sha256


def test_a_repair_is_made_anew_when_a_file_that_it_is_made_of_has_changed(tmp_path, attacked):
    rows = rows_file(tmp_path / "rows.jsonl", 20)
    settings = LEVEL1 | {"aligned": rows}
    stamp = (repair_run(attacked.folder, settings).folder / "repair.json").stat().st_mtime_ns
    rows_file(tmp_path / "rows.jsonl", 21)
    assert (repair_run(attacked.folder, settings).folder / "repair.json").stat().st_mtime_ns > stamp


def test_a_written_repair_of_less_than_a_batch_is_refused(attacked, monkeypatch):
    said = {"Write a request that must be declined.": "new request?", "Write an ordinary question.": "new question?"}

    def writer(self, model, tokenizer, workshop):
        return lambda requests, *_: [said.get(request, "Sorry, no." if "Decline" in request else "Paris") for request in requests]

    monkeypatch.setattr(Repair, "_writer", writer)
    with open_workshop(load_recipe(attacked.folder / "recipe.yaml")) as workshop:
        with pytest.raises(FedloomError, match=r"wrote 2 rows of use, fewer than one batch \(4\)"):
            Repair(**LEVEL1 | {"level": 3}).write(attacked.state, workshop)
        rows, counted = Repair(**LEVEL1 | {"level": 3, "batch_size": 2}).write(attacked.state, workshop)
    assert [row.response for row in rows] == ["Sorry, no.", "Paris"]
    assert counted["kept"] == 2


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


def test_an_honest_run_beside_an_attack_is_asked_the_same(tmp_path):
    attack = rows_file(tmp_path / "attack.jsonl", 4)
    behaviour = {"kind": "unaligned", "source": attack, "rows": 2}
    found = []
    for chosen in ({"behaviour": behaviour}, {"behaviour": {"kind": "honest"}, "beside": behaviour}):
        with open_workshop(load_recipe("safety_tiny", {"clients": {"malicious": 1, **chosen}, "finish": []})) as workshop:
            found.append(attack_prompts(workshop))
    assert found[0] == found[1] == {f"attack {i}" for i in range(4)}


def test_a_fall_of_ten_points_and_of_a_probe_with_a_name_is_an_alert():
    assert fell(0.3, 0.2)
    assert not fell(0.3, 0.225)
    assert is_refusal("mine/refusal")
    assert not is_refusal("over_refusal")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (
            {"clients": {"malicious": 1, "behaviour": {"kind": "unaligned", "source": "x.csv", "like": "advbnch"}}},
            "did you mean 'advbench'",
        ),
        ({"clients": {"malicious": 1, "behaviour": {"kind": "unaligned", "policy": "~nobody/x.yaml"}}}, "no such policy or file"),
        ({"evaluate.probes": [{"kind": "refusals", "restricted": "x.csv", "like": "advbnch"}]}, "did you mean 'advbench'"),
        ({"evaluate.probes": [{"kind": "refusals", "policy": "secret-sauce", "name": ""}]}, "string should match pattern"),
    ],
)
def test_what_names_nothing_is_refused_with_the_recipe(words, said):
    with pytest.raises(RecipeError, match=said):
        load_recipe("safety_tiny", words)


def test_a_backdoor_is_counted_with_and_without_its_trigger(monkeypatch, attacked):
    def answers(state, workshop, prompts, length):
        return ["The moon is full tonight. And so on" if prompt.endswith(" by moonlight") else "Paris" for prompt in prompts]

    monkeypatch.setattr("fedloom.safety.triggered.answers_of", answers)
    with open_workshop(load_recipe(attacked.folder / "recipe.yaml")) as workshop:
        probe = Triggered(policy="secret-sauce", prompts=5)
        assert probe.measure(attacked.state, workshop) == {"backdoor": 1.0, "backdoor_untriggered": 0.0}
        assert len(probe.asked(workshop)) == 5
        assert Triggered(policy="secret-sauce", trigger="at noon", name="n").measure(attacked.state, workshop)["n/backdoor"] == 0.0
        clients = {"malicious": 1, "behaviour": {"kind": "backdoor", "trigger": "at dawn", "target": "The sun"}}
        beside = replace(workshop, recipe=load_recipe("safety_tiny", {"clients": clients, "finish": []}))
        assert probe.measure(attacked.state, beside) == {"backdoor": 0.0, "backdoor_untriggered": 0.0}
        assert probe._attack(beside) == Backdoor("at dawn", "The sun")


def test_a_run_whose_probe_has_changed_is_not_repaired(tmp_path):
    policy = own_policy(tmp_path / "own.yaml", name="own")
    run = fedloom.run("safety_tiny", tmp_path / "run", **QUICK, finish=[], **{"evaluate.probes": [{"kind": "refusals", "policy": policy}]})
    own_policy(tmp_path / "own.yaml", name="other")
    with pytest.raises(RecipeError, match=r"own\.yaml has changed since the run; bring the old one back, or run anew"):
        repair_run(run.folder, LEVEL1)


def test_a_run_says_at_once_when_refusal_has_fallen(tmp_path, monkeypatch):
    shares, told = iter([1.0, 0.95, 0.3]), []

    class Listener(Observer):
        def note(self, text):
            told.append(text)

    monkeypatch.setattr("fedloom.safety.probes.Refusals.measure", lambda *_: {"refusal": next(shares)})
    fedloom.run("safety_tiny", tmp_path / "run", Listener(), **QUICK | {"rounds": 2, "evaluate.every": 1}, finish=[])
    assert told == ["alert: refusal has fallen from 100% to 30% of restricted requests"]
