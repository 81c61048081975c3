"""Vicuna's questions, judged by a server and by a model that runs here."""

import pytest
from scripted import ScriptedTalker, judge, quiet, rows_file, summary

from fedloom.data.records import Provenance
from fedloom.errors import PrivateDataError
from fedloom.evaluation.evaluated import evaluated
from fedloom.evaluation.suites.vicuna import Vicuna

QUESTIONS = [{"question_id": number, "category": "generic", "turns": [f"question {number}"]} for number in (1, 2, 3)]


@pytest.fixture
def questions(tmp_path):
    return rows_file(tmp_path / "question.jsonl", QUESTIONS)


def test_each_answer_is_rated_once(questions, serve):
    server = serve(lambda turns: "[[8]]" if "question 1" in turns[0]["content"] else "[[3]]")
    suite = Vicuna(data=questions, judge=judge(server), limit=2)
    for _ in range(2):
        assert summary(suite, suite.score(ScriptedTalker(lambda turns: "an answer"), quiet)) == {"score": 5.5, "unparsed": 0.0}
    assert len(server.asked) == 2


def test_a_judge_that_says_nothing_of_use_gives_no_score(questions):
    suite = Vicuna(data=questions, judge={"kind": "llm", "model": "tiny-llama", "max_new_tokens": 4})
    rows = suite.score(ScriptedTalker(lambda turns: "an answer", says=Provenance.PRIVATE), quiet)  # to a judge that runs here it may go
    assert summary(suite, rows) == {"unparsed": 3.0}
    found = evaluated("vicuna", suite, {"model": [rows]})
    assert found.warnings == ["vicuna, model: no verdict of the judge could be read; give it more max_new_tokens, or take another one"]
    assert found.plain()["systems"]["model"] == {"score": None, "unparsed": {"value": 3.0, "low": None, "high": None}}
    assert [measure.name for measure in found.shown] == ["score", "unparsed"]


def test_what_may_be_private_is_sent_to_no_endpoint_but_a_loopback_that_is_allowed(questions, serve):
    private, server = ScriptedTalker(lambda turns: "SECRET", says=Provenance.PRIVATE), serve(lambda _: "[[5]]")
    with pytest.raises(
        PrivateDataError, match=r"may say private text, which is not sent to http://127\.0\.0\.1.*private_on_loopback: true"
    ):
        Vicuna(data=questions, judge=judge(server)).score(private, quiet)
    elsewhere = {"kind": "llm", "endpoint": "http://judge.example/v1", "endpoint_model": "j", "private_on_loopback": True}
    with pytest.raises(PrivateDataError, match="is not sent to http://judge"):
        Vicuna(data=questions, judge={"kind": "llm", "model": "tiny-llama"}, second_judge=elsewhere).allow(Provenance.PRIVATE)
    assert server.asked == []
    allowed = Vicuna(data=questions, judge={**judge(server), "private_on_loopback": True})
    assert summary(allowed, allowed.score(private, quiet))["score"] == 5.0
    Vicuna(data=questions, judge=elsewhere).allow(Provenance.DP_RELEASED)
