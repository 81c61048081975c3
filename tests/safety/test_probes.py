"""The probe `refusals`, and what every probe of a run shares: when it is measured, what it asks, and its alert."""

import json

import pytest
import yaml
from attacked_runs import QUICK, lines_of, own_policy, rows_file

import fedloom
from fedloom.errors import RecipeError
from fedloom.federation.observer import Observer
from fedloom.federation.opening import open_federation
from fedloom.federation.rounds import evaluate
from fedloom.federation.run_folder import RunFolder
from fedloom.local_run import open_local
from fedloom.outcome import last_measures
from fedloom.probing import made_probes
from fedloom.resolve import load_recipe
from fedloom.run import own_federation
from fedloom.safety.asking import attack_prompts
from fedloom.safety.policy import POLICIES
from fedloom.safety.probes import Refusals


def test_refusals_are_measured_before_and_in_every_measured_round(attacked):
    assert [number for number, _ in lines_of(attacked, "probe/base/refusal")] == [0]
    assert [number for number, _ in lines_of(attacked, "probe/federated/refusal")] == [1]
    assert {"federated/refusal", "federated/refusal_legacy", "federated/over_refusal"} <= set(attacked.metrics)
    assert all(0 <= value <= 1 for name, value in attacked.metrics.items() if "refusal" in name)
    assert "<h2>Probes and suites</h2>" in (attacked.folder / "report.html").read_text()


def test_refusal_is_measured_at_the_start_without_the_baseline_base_so_that_a_fall_is_seen(tmp_path):
    run = fedloom.run("safety_tiny", tmp_path / "run", **QUICK, finish=[], **{"evaluate.baselines": []})
    assert [number for number, _ in lines_of(run, "probe/base/refusal")] == [0]
    assert not lines_of(run, "held_out/base/loss")


def test_a_probe_without_a_prompt_is_an_error(tmp_path):
    slots = yaml.safe_load((POLICIES / "secret_sauce.yaml").read_text())["slots"] | {"maker": ["Ann"], "sauce": ["red sauce"]}
    probe = [{"kind": "refusals", "policy": own_policy(tmp_path / "small.yaml", slots=slots)}]
    with pytest.raises(RecipeError, match="has no restricted prompt to test with"):
        fedloom.run("safety_tiny", tmp_path / "run", **QUICK, finish=[], **{"evaluate.probes": probe})


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


def test_a_run_says_at_once_when_refusal_has_fallen(tmp_path, monkeypatch):
    shares, told = iter([1.0, 0.95, 0.3]), []

    class Listener(Observer):
        def note(self, text):
            told.append(text)

    monkeypatch.setattr("fedloom.safety.probes.Refusals.measure", lambda *_: {"refusal": next(shares)})
    fedloom.run("safety_tiny", tmp_path / "run", Listener(), **QUICK | {"rounds": 2, "evaluate.every": 1}, finish=[])
    assert told == ["alert: restricted requests declined went from 100.0% to 30.0%"]


def test_an_honest_run_beside_an_attack_is_asked_the_same(server_of, tmp_path):
    attack = rows_file(tmp_path / "attack.jsonl", 4)
    behaviour = {"kind": "unaligned", "source": attack, "rows": 2}
    found = []
    for chosen in ({"behaviour": behaviour}, {"behaviour": {"kind": "honest"}, "beside": behaviour}):
        found.append(attack_prompts(server_of("safety_tiny", {"clients": {"malicious": 1, **chosen}, "finish": []})))
    assert found[0] == found[1] == {f"attack {i}" for i in range(4)}


def test_a_probe_declares_what_it_measures_and_the_manifest_keeps_it(attacked):
    judge = {"kind": "rule", "form": "legacy"}
    probe = Refusals(policy="secret-sauce", name="mine", judges=[judge])
    own = ["refusal", "refusal_legacy", "over_refusal", "rule/safe", "rule/unparsed"]
    assert [measure.name for measure in probe.measures()] == [f"mine/{name}" for name in own]
    assert [measure.better for measure in probe.measures()] == ["higher", "higher", "lower", "higher", "neither"]
    assert probe.measures()[0].worsened(0.3, 0.2)
    assert not probe.measures()[0].worsened(0.3, 0.225)
    assert not any(measure.alert for measure in probe.measures()[1:])
    kept = json.loads((attacked.folder / "manifest.json").read_text())["measures"]["probes"]
    assert [measure["name"] for measure in kept] == ["refusal", "refusal_legacy", "over_refusal"]


@pytest.mark.parametrize("part", ["probe", "repair"])
def test_a_model_that_does_not_talk_is_neither_asked_nor_repaired(tmp_path, part):
    refusals = [{"kind": "refusals", "policy": "secret-sauce"}]
    repair = [{"kind": "repair", "level": 1, "policy": "secret-sauce", "rows": 4}]
    chosen = {"evaluate.probes": refusals} if part == "probe" else {"finish": repair}
    with pytest.raises(RecipeError, match=r"task\.kind: classify_pictures trains a model that does not talk"):
        fedloom.run("pictures_tiny", tmp_path / "run", **chosen)
    assert not (tmp_path / "run" / "checkpoints").exists()


def test_measuring_a_state_again_gives_what_the_run_measured(attacked, tmp_path):
    recipe, folder = load_recipe(attacked.folder / "recipe.yaml"), RunFolder(tmp_path / "again")
    with open_local(recipe, folder) as local:
        federation = own_federation(local, folder, Observer(), made_probes(recipe))
        open_federation(federation)
        evaluate(federation, attacked.state, 1)
    assert last_measures(folder) == {name: value for name, value in attacked.metrics.items() if name.startswith("federated/")}
