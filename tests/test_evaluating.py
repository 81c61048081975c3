"""Suites on the model of a run and on any other."""

import json

import pytest

from fedloom import run
from fedloom.errors import ModelError, RecipeError
from fedloom.evaluating import chosen_suites, evaluate
from fedloom.federation.run_folder import RunFolder

ROWS = [{"question": "What is two and two?", "answer": "four"}, {"question": "Name a colour.", "answer": "red"}]


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    folder = tmp_path_factory.mktemp("evaluated") / "run"
    return run("tiny", **{"federation.rounds": 1, "evaluate.baselines": [], "evaluate.samples": 0}, out=folder).folder


@pytest.fixture
def asked(tmp_path):
    file = tmp_path / "q.jsonl"
    file.write_text("".join(json.dumps(row) + "\n" for row in ROWS))
    return chosen_suites(["questions"], [f"questions.source={file}", "questions.max_new_tokens=8"])


def test_a_run_is_scored_beside_its_base_and_written_into_its_folder(finished, asked):
    (found,) = evaluate(str(finished), asked)
    assert list(found.systems) == ["base", "tuned"]
    assert [row.row for row in found.scored["tuned"][0]] == ["0", "1"]
    assert found.difference["f1"].value == found.systems["tuned"]["f1"].value - found.systems["base"]["f1"].value
    assert not found.difference["f1"].told_apart  # two rows tell nothing apart
    kept = json.loads((finished / "evaluations" / "questions.json").read_text())
    assert kept == json.loads(json.dumps(found.plain()))
    rows = [json.loads(line) for line in (finished / "evaluations" / "questions.rows.jsonl").read_text().splitlines()]
    assert [(row["system"], row["row"]) for row in rows] == [("base", "0"), ("base", "1"), ("tuned", "0"), ("tuned", "1")]


def test_what_was_answered_is_not_written_again(finished, asked, monkeypatch):
    first = evaluate(str(finished), asked)
    monkeypatch.setattr("fedloom.models.decoding.Decoders", None)
    assert evaluate(str(finished), asked) == first


def test_a_model_by_name_is_scored_alone(asked, tmp_path):
    (found,) = evaluate("tiny-llama", asked, tmp_path / "out")
    assert list(found.systems) == ["model"]
    assert found.difference == {}
    assert (tmp_path / "out" / "questions.json").is_file()


def test_what_is_wrong_is_one_line(tmp_path, asked):
    with pytest.raises(RecipeError, match=r"unknown suite 'question'; did you mean 'questions'\?"):
        chosen_suites(["question"], [])
    with pytest.raises(RecipeError, match=r"^unknown suite 'fpp'"):
        chosen_suites(["fpp"], ["fpb.data=x.csv"])
    with pytest.raises(RecipeError, match=r"^--suite: questions stands there twice; name each suite once$"):
        chosen_suites(["questions", "questions"], ["questions.source=x"])
    with pytest.raises(RecipeError, match=r"^questions\.source: is required$"):
        chosen_suites(["questions"], [])
    with pytest.raises(RecipeError, match=r"^limit: should be SUITE\.KEY=VALUE"):
        chosen_suites(["questions"], ["limit=3"])
    unfinished = tmp_path / "unfinished"
    unfinished.mkdir()
    (unfinished / "recipe.yaml").write_text("name: x\nmodel: {id: tiny-llama}\ndata: {source: tiny-demo}\n")
    assert RunFolder(unfinished).manifest() == {}
    with pytest.raises(ModelError, match="has no adapter yet; finish the run"):
        evaluate(str(unfinished), asked, base=False)
