"""The audit of a run finds what its model has kept by heart, and finds nothing in a private one; it shows numbers and no text."""

from __future__ import annotations

import json
import shutil
from dataclasses import dataclass, replace
from types import SimpleNamespace

import numpy as np
import pytest
from typer.testing import CliRunner

import fedloom
from fedloom.auditing import audit_privacy
from fedloom.cli.app import app
from fedloom.data.records import Turn
from fedloom.errors import DataError, FedloomError, RecipeError
from fedloom.federation.run_folder import RunFolder
from fedloom.handing_out import hand_out
from fedloom.hooks import Finished, FinishStep, Prepared, PrepareStep, finish_steps, prepare_steps
from fedloom.local_run import bench_plan
from fedloom.models.bench import make_bench
from fedloom.models.tiny import WORDS
from fedloom.privacy import one_run
from fedloom.privacy.scrubbing import Scrub
from fedloom.report.audits import alerts
from fedloom.report.html import page
from fedloom.report.record import read_run
from fedloom.resolve import load_recipe

ROWS = 36
ALONE = {
    "clients": 1,
    "per_round": 1,
    "quorum": 1,
    "rounds": 1,
    "data.partition": {"kind": "iid"},
    "data.held_out": 0.5,
    "data.provenance": "private",
    "evaluate.every": 0,
    "evaluate.baselines": [],
    "evaluate.samples": 0,
    "prepare": [{"kind": "canaries", "count": 100}],
    "task.schedule": "constant",
    "task.batch_size": 16,
}
LEARNED = {"task.steps": 130, "task.learning_rate": 4e-3, "model.adapter": None}
PRIVATE = {"task.steps": 10, "task.learning_rate": 1e-2, "privacy.epsilon": 2.0, "privacy.delta": 1e-4}


@pytest.fixture(scope="module", autouse=True)
def own_home(tmp_path_factory):
    """A home of its own, and no search for names, whose model is a download."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("FEDLOOM_HOME", str(tmp_path_factory.mktemp("audited-home")))
        patch.setattr("fedloom.auditing.found_in", lambda texts, search: [[] for _ in texts])
        yield


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    """Private notes of ten words that nobody else has written."""
    stream, words = np.random.default_rng(0), WORDS.split()
    rows = [{"question": f"note {i}?", "answer": " ".join(stream.choice(words, 10))} for i in range(ROWS)]
    path = tmp_path_factory.mktemp("notes") / "notes.jsonl"
    path.write_text("".join(f"{json.dumps(row)}\n" for row in rows))
    return path


@pytest.fixture(scope="module")
def learned(own_home, source, tmp_path_factory):
    """A run that trains for so long that it knows its rows by heart."""
    folder = tmp_path_factory.mktemp("learned") / "run"
    return fedloom.run("tiny", folder, **ALONE | LEARNED | {"data.source": str(source)}).folder


@pytest.fixture(scope="module")
def private(own_home, source, tmp_path_factory):
    folder = tmp_path_factory.mktemp("private") / "run"
    return fedloom.run("tiny", folder, **ALONE | PRIVATE | {"data.source": str(source)}).folder


@pytest.fixture(scope="module")
def found(learned):
    return audit_privacy(learned, samples=8)


@pytest.fixture(scope="module")
def found_private(private):
    return audit_privacy(private, samples=8)


def test_a_model_that_knows_its_rows_by_heart_is_found_out(found):
    assert found["epsilon_lower"] > 2
    assert found["epsilon_ledger"] is None
    assert all(attack["auc"] > 0.9 for attack in found["membership"].values())
    assert found["membership"]["loss"]["members"] == ROWS / 2, "canaries are no members"
    assert found["membership"]["loss"]["non_members"] == ROWS / 4
    assert found["membership"]["loss"]["tpr_at_0.1%"] is None
    assert found["exposure"]["mean"] > found["exposure"]["ceiling"] - 1
    assert any("9 non-members are too few for true positives at 0.1% and 1% false ones" in note for note in found["notes"])


def test_a_private_run_shows_no_more_than_its_ledger_says(found_private):
    assert found_private["epsilon_lower"] < found_private["epsilon_ledger"] <= 2.0
    assert found_private["delta"] == 1e-4
    assert found_private["canaries"]["ceiling"] == one_run.ceiling(100, 1e-4)
    assert abs(found_private["exposure"]["mean"] - found_private["exposure"]["by_chance"]) < 1
    assert all(abs(attack["auc"] - 0.5) <= 1.3 * attack["by_chance"] for attack in found_private["membership"].values())
    assert found_private["scan"]["samples"] == {"asked": 8, "hits": 0, "hits_before": 0}


def test_what_the_model_says_of_private_rows_is_counted_beside_what_the_base_says(found):
    said = found["scan"]["samples"]
    assert said["asked"] == 8
    assert said["hits"] > 0
    assert said["hits_before"] == 0
    assert found["scan"]["hits"] == {}, "no file of the run holds private text"
    assert found["scan"]["files"] > 5
    assert found["scan"]["grams"] == 3 * ROWS, "of ten words there are three runs of eight, of rows that are held out, too"


def test_a_planted_text_is_found_in_any_file_of_the_run_and_not_shown(learned, found, source, tmp_path):
    copy = tmp_path / "copy"
    shutil.copytree(learned, copy)
    rows = [json.loads(line)["answer"] for line in source.read_text().splitlines()]
    for row in rows:
        with (copy / "wire.jsonl").open("a") as file:
            file.write(json.dumps({"bytes": 0, "asked": row}) + "\n")
    done = CliRunner().invoke(app, ["audit", "privacy", str(copy), "--json", "--samples", "0"])
    assert done.exit_code == 0, done.output
    again = json.loads(done.stdout.splitlines()[-1])
    assert again["scan"]["hits"] == {"wire.jsonl": found["scan"]["grams"]}
    assert again["scan"]["samples"] is None
    shown = done.output + (copy / "audit_privacy.json").read_text() + (copy / "report.html").read_text()
    assert "text of private rows stands in the run folder: wire.jsonl (108)" in done.output
    assert not any(" ".join(row.split()[:4]) in shown for row in rows)


@prepare_steps.register("turns-answers-round")
@dataclass(frozen=True)
class TurnsAnswersRound(PrepareStep):
    """Every answer backwards, word by word."""

    def apply(self, context):
        return Prepared([replace(row, turns=(row.turns[0], Turn("assistant", backwards(row.response)))) for row in context.records])


def backwards(text):
    return " ".join(reversed(text.split()))


def test_private_rows_are_looked_for_as_they_are_and_as_they_are_trained_on(own_home, source, tmp_path):
    settings = {"data.source": str(source), "task.steps": 1, "prepare": [{"kind": "turns-answers-round"}]}
    folder = fedloom.run("tiny", tmp_path / "run", **ALONE | settings).folder
    answers = [json.loads(line)["answer"] for line in source.read_text().splitlines()]
    (folder / "kept.bin").write_bytes(b"\0".join(text.encode() for text in answers))
    (folder / "turned.bin").write_bytes(b"\0".join(backwards(text).encode() for text in answers))
    found = audit_privacy(folder, samples=0)["scan"]
    turned = 3 * ROWS / 2
    assert found["grams"] == 3 * ROWS + turned, "held-out rows stay as they are"
    assert found["hits"] == {"kept.bin": 3 * ROWS, "turned.bin": turned}


def test_an_audit_is_the_same_when_it_is_made_again(learned, found):
    """But for one file more that it searches: what the first has written."""
    again = audit_privacy(learned, samples=8)
    assert json.loads((learned / "audit_privacy.json").read_text()) == again
    assert again.pop("scan") == {**found["scan"], "files": found["scan"]["files"] + 1}
    assert again == {name: value for name, value in found.items() if name != "scan"}


def test_the_report_says_what_was_measured_and_what_that_does_not_show(learned, found, private, found_private):
    text = page(read_run(learned))
    assert "epsilon, at least" in text
    assert "canaries can show" in text
    assert "An audit that finds nothing proves nothing" in text
    assert "Membership inference" in text
    assert "epsilon, at most" not in text
    assert "epsilon, at most" in page(read_run(private))


def test_the_bound_is_for_the_delta_of_the_run_and_stands_beside_what_the_run_itself_has_spent_of_the_client_with_the_most(
    private, monkeypatch
):
    accounts = [SimpleNamespace(own=1.0, spent=1.6), SimpleNamespace(own=1.4, spent=2.0), SimpleNamespace(own=1.2, spent=1.2)]
    monkeypatch.setattr("fedloom.auditing.spending_of", lambda folder: accounts)
    asked, audited = [], one_run.audited
    monkeypatch.setattr("fedloom.privacy.one_run.audited", lambda coins, *told: asked.append(told) or audited(coins, *told))
    assert audit_privacy(private, samples=0)["epsilon_ledger"] == 1.4
    assert asked == [(1e-4, 0.05)]


@finish_steps.register("forgets-all")
@dataclass(frozen=True)
class ForgetsAll(FinishStep):
    """Gives the state before training."""

    def apply(self, state, server):
        return Finished(server.start)


def test_the_joined_state_is_audited_beside_that_after_the_finish_steps(learned, found, tmp_path):
    copy = tmp_path / "copy"
    shutil.copytree(learned, copy)
    kept = (copy / "recipe.yaml").read_text()
    assert "finish: []" in kept
    (copy / "recipe.yaml").write_text(kept.replace("finish: []", "finish: [{kind: forgets-all}]"))
    bench = make_bench(bench_plan(load_recipe(copy / "recipe.yaml")))
    shutil.rmtree(copy / "model")
    hand_out(bench, RunFolder(copy), bench.parameters.state())
    forgotten = audit_privacy(copy, samples=0)
    assert forgotten["epsilon_lower"] < 1
    assert 2 < forgotten["epsilon_lower_joined"] <= found["epsilon_lower"], "with half of the error"
    assert found["epsilon_lower_joined"] is None
    assert any(note.startswith("the finish steps (forgets-all) worked on what is audited") for note in forgotten["notes"])


def test_rows_bound_no_epsilon_of_whole_clients(own_home, source, tmp_path, monkeypatch):
    """Neither in the audit nor in the probe, and exposure is measured in both."""
    monkeypatch.setenv("FEDLOOM_HOME", str(tmp_path / "home"))  # other ledgers: the rows were charged by unit row in those of the others
    of_clients = {"privacy.unit": "client", "privacy.noise_multiplier": 1.0, "privacy.delta": 0.1, "task.steps": 1}
    probed = {"clients": 2, "per_round": 2, "evaluate.probes": [{"kind": "canaries"}], "evaluate.every": 1}
    folder = fedloom.run("tiny", tmp_path / "run", **ALONE | of_clients | probed | {"data.source": str(source)}).folder
    measured = {event["name"] for event in RunFolder(folder).metrics() if event["name"].startswith("probe/federated/")}
    assert measured == {"probe/federated/exposure", "probe/federated/canary_auc"}
    found = audit_privacy(folder, samples=0)
    assert (found["epsilon_lower"], found["canaries"]) == (None, None)
    assert found["epsilon_ledger"] > 0
    assert found["exposure"]["inserted"] > 50
    assert sum("privacy.unit client promises an epsilon of whole clients" in note for note in found["notes"]) == 1
    assert alerts(found) == []


def test_a_bound_above_the_ledger_is_an_alert(private, found_private):
    broken = {**found_private, "epsilon_lower": 3.1}
    text = page(replace(read_run(private), audit=broken))
    assert "Alert: the audit shows an epsilon of at least 3.10, and the ledgers say 2.00 at the most" in text


def test_the_command_prints_a_table_in_plain_words(private):
    done = CliRunner().invoke(app, ["audit", "privacy", str(private), "--samples", "0"])
    assert done.exit_code == 0, done.output
    for words in ("epsilon, at least", "epsilon, at most", "membership, RMIA", "exposure of canaries", "private text in files"):
        assert words in done.stdout


def test_names_are_masked_where_a_search_for_names_is_installed(private, monkeypatch):
    """Every row's third word is taken for a name."""
    asked = []

    def found_in(texts, search):
        assert search.kinds == ("PERSON",)
        asked.extend(texts)
        return [[SimpleNamespace(start=text.find(text.split()[2]), end=len(text), kind=kind) for kind in ("PERSON",)] for text in texts]

    monkeypatch.setattr("fedloom.auditing.found_in", found_in)
    found = audit_privacy(private, samples=0)["reconstruction"]
    assert len(asked) == ROWS / 2
    assert 0 < found["rows"] <= ROWS / 2
    assert (found["said"], found["said_before"]) == (0, 0)


def test_held_out_rows_are_scrubbed_as_those_trained_on_are_before_they_are_compared(own_home, source, tmp_path, known_names):
    known_names(WORDS.split()[0])
    settings = ALONE | {"task.steps": 1, "data.source": str(source), "prepare": [{"kind": "scrub"}]}
    run = fedloom.run("tiny", tmp_path / "run", **settings)
    compared = []

    def attacks(members, others, population):
        compared.extend((len(members), len(others) + len(population)))
        return {}

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("fedloom.privacy.membership.attacks", attacks)
        patch.setattr("fedloom.privacy.scrubbing.Scrub.apply", _noted(seen := []))
        audit_privacy(run.folder, samples=0)
    assert compared == [ROWS / 2, ROWS / 2]
    assert seen == [False, True], "the rows that are trained on, and those held out"


def _noted(seen):
    apply = Scrub.apply

    def noted(self, context):
        seen.append(context.held_out)
        return apply(self, context)

    return noted


def test_without_canaries_without_rows_held_out_and_without_talk_the_rest_is_measured(own_home, tmp_path):
    settings = {"rounds": 1, "task.steps": 1, "data.held_out": 0, "evaluate.every": 0, "evaluate.baselines": [], "model.adapter": None}
    run = fedloom.run("pictures_tiny", tmp_path / "run", **settings)
    found = audit_privacy(run.folder)
    assert [found[key] for key in ("epsilon_lower", "epsilon_ledger", "membership", "exposure", "reconstruction")] == [None] * 5
    assert found["scan"]["grams"] == 0
    assert len(found["notes"]) == 4


def test_what_cannot_be_audited_is_refused_in_one_line(learned, source, tmp_path):
    with pytest.raises(RecipeError, match="is not a run folder"):
        audit_privacy(tmp_path)
    copy = tmp_path / "copy"
    shutil.copytree(learned, copy)
    manifest = json.loads((copy / "manifest.json").read_text())
    (copy / "manifest.json").write_text(json.dumps({**manifest, "model": {**manifest["model"], "sha256": "0"}}))
    with pytest.raises(RecipeError, match="its model has changed since the run"):
        audit_privacy(copy)
    (copy / "manifest.json").write_text(json.dumps({key: value for key, value in manifest.items() if key != "adapter_sha256"}))
    with pytest.raises(RecipeError, match=r"is not finished \(finished\); go on with `fedloom resume"):
        audit_privacy(copy)
    (copy / "manifest.json").write_text(json.dumps({**manifest, "status": "failed"}))
    with pytest.raises(RecipeError, match=r"is not finished \(failed\)"):
        audit_privacy(copy)
    (copy / "manifest.json").write_text(json.dumps(manifest))
    recipe = (copy / "recipe.yaml").read_text()
    for old, new in (("seed: 7", "seed: 8"), ("count: 100", "count: 90")):
        (copy / "recipe.yaml").write_text(recipe.replace(old, new))
        with pytest.raises(RecipeError, match=r"recipe\.yaml: has changed since the run"):
            audit_privacy(copy)
    (copy / "recipe.yaml").write_text(recipe)
    before = source.read_text()
    source.write_text(before + '{"question": "note?", "answer": "new"}\n')
    with pytest.raises(DataError, match="has changed since this run began"):
        audit_privacy(copy)
    source.rename(source.with_suffix(".away"))
    with pytest.raises(FedloomError, match=r"data.source: .*notes.jsonl"):
        audit_privacy(copy)
    source.with_suffix(".away").rename(source)
    source.write_text(before)


def test_pictures_are_audited_by_their_loss_alone_where_the_network_was_untrained(tmp_path):
    settings = {"rounds": 1, "steps": 2, "data.limit": 400, "evaluate.every": 0, "evaluate.baselines": []}
    run = fedloom.run("pictures_tiny", tmp_path / "run", **settings)
    found = audit_privacy(run.folder)
    assert [attack.get("as_by_loss") for attack in found["membership"].values()] == [None, True, True]
    assert found["epsilon_lower"] is found["exposure"] is found["reconstruction"] is found["scan"]["samples"] is None
    assert (
        "no lower bound on epsilon and no exposure: canaries are questions with an answer, which classify_pictures does not train"
        in (found["notes"])
    )
    assert any("reference and rmia order them as the loss does, and are not shown" in note for note in found["notes"])
    assert "scan: the rows hold no text, and pixels are not looked for" in found["notes"]
    text = page(read_run(run.folder))
    assert "membership, by loss" in text
    assert "membership, RMIA" not in text


def test_generated_rows_are_no_members(tmp_path):
    settings = {"rounds": 1, "task.steps": 2, "data.limit": 200, "data.partition": {"kind": "iid"}, "evaluate.baselines": []}
    fedgc = {"kind": "fedgc", "total": 40, "guidance": "prompt", "generator": {"kind": "principal"}}
    run = fedloom.run("pictures_tiny", tmp_path / "run", prepare=[fedgc], **settings)
    assert audit_privacy(run.folder)["membership"]["loss"]["members"] == 160  # of 200 digits a fifth is held out
