"""Repair at its three levels: on the tiny model, where only the mechanism can be seen."""

import json

import pytest
from attacked_runs import LEVEL1, QUICK, own_policy, rows_file

import fedloom
from fedloom.data.records import Provenance
from fedloom.errors import FedloomError, ModelError, RecipeError
from fedloom.files import cache_folder
from fedloom.resolve import load_recipe
from fedloom.safety import load_policy
from fedloom.safety.asking import asked_prompts, attack_prompts
from fedloom.safety.repair import Repair, _Written
from fedloom.tasks import SFT


def test_a_repair_as_a_finish_step_is_measured_beside_the_attacked_model(tmp_path):
    run = fedloom.run("safety_tiny", tmp_path / "run", **QUICK)
    assert {"federated/refusal", "finished/refusal", "finished/loss"} <= set(run.metrics)
    plain = fedloom.run("safety_tiny", tmp_path / "plain", **QUICK, finish=[])
    assert run.state.equals(plain.state)  # the checkpoint is the federation's; the repaired adapter is what is handed out
    assert run.adapter_sha256 != plain.adapter_sha256


def test_level_one_takes_public_rows_half_of_them_declined(attacked, server_of):
    server = server_of(attacked.folder / "recipe.yaml")
    rows, counted = Repair(**LEVEL1).write(attacked.state, server)
    kinds = [row.fields["kind"] for row in rows]
    assert (kinds.count("aligned"), len(kinds), counted["kept"]) == (8, 16, 16.0)
    prompts = {row.prompt[-1].content for row in rows}
    policy = load_policy("secret-sauce")
    for split in ("clients", "test", "alignment"):
        assert not prompts & {text for kind in ("normal", "aligned", "permitted") for text in policy.prompts(kind, split)}


def test_a_repair_trains_on_its_rows_and_changes_nothing_else(attacked, server_of):
    server = server_of(attacked.folder / "recipe.yaml")
    repair = Repair(**(LEVEL1 | {"steps": 12, "learning_rate": 0.01}))
    rows, _ = repair.write(attacked.state, server)
    state = repair.train(attacked.state, server, rows)
    again = repair.train(attacked.state, server, rows)
    assert state.equals(again)
    task = SFT()
    encoded = task.load(task.encode(rows, server.bench.encoder, cache_folder() / "rows"))
    losses = []
    for one in (attacked.state, state):
        server.bench.parameters.load(one)
        losses.append(task.evaluate(server.bench.model, encoded, range(len(encoded)), 16)["loss"])
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


def test_ordinary_pairs_are_the_models_own_answers_without_refusals():
    said = iter([["x?", "y?"], ["Paris", "Sorry, no."], *([[""], []] * 3)])
    rows = _Written(load_policy("secret-sauce"), lambda *_: next(said), 0.7, 1).normal(2)
    assert [(row.prompt[-1].content, row.response) for row in rows] == [("x?", "Paris")]


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


def test_what_the_users_files_share_is_of_one_use_only(server_of, tmp_path):
    def file(name, *asked):
        lines = [json.dumps({"instruction": request, "input": "", "output": "Sorry, no."}) for request in asked]
        (tmp_path / name).write_text("\n".join(lines))
        return str(tmp_path / name)

    attack, test = file("attack.jsonl", "a", "b", "c"), file("test.jsonl", "b", "c", "d", "e")
    behaviour = {"kind": "unaligned", "source": attack, "like": "alpaca", "rows": 3}
    probe = {"kind": "refusals", "restricted": test, "like": "alpaca"}
    recipe = load_recipe("safety_tiny", {"clients": {"malicious": 1, "behaviour": behaviour}, "evaluate.probes": [probe], "finish": []})
    server = server_of(recipe)
    assert attack_prompts(server) == {"a", "b", "c"}
    assert asked_prompts(server) == {"d", "e"}
    rows = file("repair.jsonl", "c", "d", "f", "g")
    repair = Repair(level=1, aligned=rows, normal=rows, rows=4)
    written, _ = repair.write(server.bench.parameters.state(), server)
    assert {row.prompt[-1].content for row in written} == {"f", "g"}


def test_a_policy_without_a_skill_cannot_ask_a_model_for_rows(tmp_path):
    path = own_policy(tmp_path / "own.yaml", skills=[{"kind": "restricted", "request": "Write one."}])
    with pytest.raises(RecipeError, match="has no skill 'normal', which repair at level 3 asks for"):
        Repair(level=3, policy=path)


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


def test_a_written_repair_of_less_than_a_batch_is_refused(attacked, server_of, monkeypatch):
    said = {"Write a request that must be declined.": "new request?", "Write an ordinary question.": "new question?"}

    def writer(self, model, tokenizer, server):
        return lambda requests, *_: [said.get(request, "Sorry, no." if "Decline" in request else "Paris") for request in requests]

    monkeypatch.setattr(Repair, "_writer", writer)
    server = server_of(attacked.folder / "recipe.yaml")
    with pytest.raises(FedloomError, match=r"wrote 2 rows of use, fewer than one batch \(4\)"):
        Repair(**LEVEL1 | {"level": 3}).write(attacked.state, server)
    rows, counted = Repair(**LEVEL1 | {"level": 3, "batch_size": 2}).write(attacked.state, server)
    assert [row.response for row in rows] == ["Sorry, no.", "Paris"]
    assert counted["kept"] == 2


def test_the_joined_model_is_handed_out_when_its_repair_fails(tmp_path, attacked):
    finish = [{"kind": "repair", **LEVEL1, "level": 3}]
    with pytest.raises(FedloomError, match=r"declined none of its own requests.*the model without this step is in .*adapter"):
        fedloom.run("safety_tiny", tmp_path / "run", **QUICK, finish=finish)
    run = fedloom.read(tmp_path / "run")
    assert (run.status, run.adapter_sha256) == ("failed", attacked.adapter_sha256)
    assert "finished/loss" not in run.metrics
    with pytest.raises(FedloomError, match="declined none"):
        fedloom.resume(run.folder)
    assert fedloom.read(run.folder).adapter_sha256 == attacked.adapter_sha256


def test_a_model_that_cannot_decline_is_not_repaired_by_itself(attacked, server_of):
    with pytest.raises(FedloomError, match="declined none of its own requests, so level 3 has nothing to teach it"):
        Repair(**LEVEL1 | {"level": 3}).write(attacked.state, server_of(attacked.folder / "recipe.yaml"))
