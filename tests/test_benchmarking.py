"""The suites of a recipe: asked when the run is over, and shown wherever a run is."""

import json
import sys

import pytest

import fedloom
from fedloom.benchmarking import ask_suites
from fedloom.errors import FedloomError, RecipeError
from fedloom.evaluating import chosen_suites, evaluate
from fedloom.evaluation.evaluated import read_kept
from fedloom.federation.checkpoint import last_checkpoint
from fedloom.report.record import read_run
from fedloom.report.tables import probes_table
from fedloom.resolve import load_recipe

SHORT = {"rounds": 1, "task.steps": 1, "evaluate.baselines": [], "evaluate.samples": 0}


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    file = tmp_path_factory.mktemp("suites") / "q.jsonl"
    file.write_text("".join(json.dumps({"question": f"What is {n}?", "answer": "red"}) + "\n" for n in range(3)))
    return file


@pytest.fixture(scope="module")
def run(source, tmp_path_factory):
    suite = {"kind": "questions", "source": str(source), "max_new_tokens": 4}
    return fedloom.run("tiny", tmp_path_factory.mktemp("runs") / "run", **SHORT, **{"evaluate.suites": [suite]})


def test_base_and_joined_model_are_asked_and_every_value_is_recorded(run):
    assert {f"{system}/questions/{name}" for system in ("base", "federated") for name in ("exact_match", "f1", "rouge_l")} <= set(
        run.metrics
    )
    kept = json.loads((run.folder / "evaluations" / "questions.json").read_text())
    assert list(kept["systems"]) == ["base", "federated"]
    assert kept["rows"] == 3
    assert "questions: token F1" in (run.folder / "report.html").read_text()
    assert "questions/f1" in {measure.name for measure in read_run(run.folder).probe_measures}


def test_values_are_shown_with_their_intervals_where_the_run_is_shown(run):
    kept = json.loads((run.folder / "evaluations" / "questions.json").read_text())["systems"]["federated"]["f1"]
    shown = f"{kept['value']:.1%} [{kept['low']:.1%}, {kept['high']:.1%}]"
    record = read_run(run.folder)
    table = probes_table(record)
    assert shown in [str(cell) for column in table.columns for cell in column.cells]
    assert table.caption == "In brackets: 95% intervals over rows."
    page = (run.folder / "report.html").read_text()
    assert shown in page
    assert table.caption in page
    record.suites["questions"]["systems"]["federated"]["f1"]["value"] = 2.0  # of another evaluation, with other settings
    assert record.interval("federated", "questions/f1") is None


def test_the_command_finds_the_same_answers_in_the_cache(run, source, monkeypatch, tmp_path):
    """The model of the run and that of `fedloom evaluate` are one, and so are their prompts."""
    monkeypatch.setattr("fedloom.models.decoding.Decoders", None)
    chosen = chosen_suites(["questions"], [f"questions.source={source}", "questions.max_new_tokens=4"])
    (found,) = evaluate(str(run.folder), chosen, tmp_path)
    assert found.systems["tuned"]["f1"].value == run.metrics["federated/questions/f1"]


def test_clients_alone_are_asked_with_their_own_models_and_their_mean_counts(source, tmp_path, monkeypatch):
    seen = {}

    def spy(chosen, server, federation, systems, folder):
        seen.update(systems)
        ask_suites(chosen, server, federation, systems, folder)

    monkeypatch.setattr(sys.modules["fedloom.run"], "ask_suites", spy)
    suite = {"kind": "questions", "source": str(source), "max_new_tokens": 4}
    alone = {"evaluate.baselines": ["local"], "evaluate.local_clients": 2}
    run = fedloom.run("tiny", tmp_path / "run", **SHORT | alone, **{"evaluate.suites": [suite]})
    trained = [last_checkpoint(folder / "checkpoints").state.sha256() for folder in (run.folder / "baselines").glob("local-*")]
    assert len(set(trained)) == 4
    drawn = {state.sha256() for state in seen["local"]}
    assert len(drawn) == 2
    assert drawn < set(trained)
    kept = read_kept(run.folder / "evaluations", "questions")
    assert list(kept.scored) == ["base", "local", "federated"]
    assert [[row.row for row in rows] for rows in kept.scored["local"]] == [["0", "1", "2"]] * 2
    assert read_run(run.folder).interval("local", "questions/f1").value == run.metrics["local/questions/f1"]


def test_clients_alone_are_not_asked_without_the_baseline():
    with pytest.raises(RecipeError, match=r"^evaluate: local_clients: are of the baseline local; name local in baselines, or write 0"):
        load_recipe("tiny", {"evaluate.local_clients": 2, "evaluate.baselines": ["base"]})


def test_a_suite_that_cannot_be_asked_is_refused_before_training(tmp_path):
    suite = {"kind": "questions", "source": str(tmp_path / "none.jsonl")}
    with pytest.raises(FedloomError, match=r"none\.jsonl"):
        fedloom.run("tiny", tmp_path / "run", **SHORT, **{"evaluate.suites": [suite]})
    assert not (tmp_path / "run" / "checkpoints").exists()
    with pytest.raises(RecipeError, match=r"evaluate: suites: questions stands there twice"):
        load_recipe("tiny", {"evaluate.suites": [{"kind": "questions", "source": "a"}, {"kind": "questions", "source": "b"}]})
    with pytest.raises(RecipeError, match=r"evaluate\.suites\.0\.kind: unknown suite 'question'; did you mean 'questions'"):
        load_recipe("tiny", {"evaluate.suites": [{"kind": "question"}]})
