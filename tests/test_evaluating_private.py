"""Where the answers of an evaluated model may go: what a run trained on decides it."""

import json
from dataclasses import asdict

import pytest

from fedloom import run
from fedloom.data.records import Provenance
from fedloom.errors import PrivateDataError
from fedloom.evaluating import chosen_suites, evaluate
from fedloom.evaluation.intervals import Interval
from fedloom.models.catalogue import fetch

JUDGE = "{kind: llm, endpoint: 'http://judge.example/v1', endpoint_model: j}"


@pytest.fixture
def asked(tmp_path):
    file = tmp_path / "question.jsonl"
    rows = [{"question_id": number, "category": f"c{number}", "turns": ["Hello?"]} for number in (1, 2)]
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return lambda judge: chosen_suites(["vicuna"], [f"vicuna.data={file}", f"vicuna.judge={judge}", "vicuna.max_new_tokens=4"])


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs")
    quick = {"federation.rounds": 1, "evaluate.baselines": [], "evaluate.samples": 0}
    return {one: run("tiny", **quick, **{"data.provenance": one}, out=folder / one).folder for one in ("private", "public")}


def test_a_run_on_private_rows_is_judged_elsewhere_by_nobody_and_refused_before_a_model_is_loaded(runs, asked, monkeypatch):
    assert json.loads((runs["private"] / "manifest.json").read_text())["says"] == Provenance.PRIVATE
    monkeypatch.setattr("fedloom.evaluating.load_model", None)
    with pytest.raises(PrivateDataError, match=r"may say private text, which is not sent to http://judge\.example/v1"):
        evaluate(str(runs["private"]), asked(JUDGE))


def test_a_run_on_public_rows_and_a_model_by_name_may_be(runs, asked, serve, tmp_path):
    server = serve(lambda _: "[[6]]")
    judge = f"{{kind: llm, endpoint: '{server.url}', endpoint_model: j}}"
    (found,) = evaluate(str(runs["public"]), asked(judge))
    assert {name: one["score"].value for name, one in found.systems.items()} == {"base": 6.0, "tuned": 6.0}
    assert found.groups["c1"]["tuned"]["score"] == Interval(6.0, None, None)
    kept = json.loads((runs["public"] / "evaluations" / "vicuna.json").read_text())
    assert kept["groups"]["c2"]["base"]["score"] == asdict(Interval(6.0, None, None))
    evaluate("tiny-llama", asked(judge), tmp_path / "out")


def test_a_model_in_a_folder_may_be_the_export_of_a_private_run_unless_the_user_says_otherwise(asked, serve, tmp_path):
    server = serve(lambda _: "[[6]]")
    suite = asked(f"{{kind: llm, endpoint: '{server.url}', endpoint_model: j}}")
    folder = str(fetch("tiny-llama"))
    with pytest.raises(PrivateDataError, match="may say private text"):
        evaluate(folder, suite, tmp_path / "out")
    assert server.asked == []
    (found,) = evaluate(folder, suite, tmp_path / "out", public=True)
    assert found.systems["model"]["score"].value == 6.0
