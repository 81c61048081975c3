"""Ref-GPT4: reference answers in the prompt, and a mean over languages."""

from collections import Counter

import pytest
from scripted import ScriptedTalker, judge, quiet, rows_file, summary

from fedloom.errors import RecipeError
from fedloom.evaluation.suites.ref_gpt4 import RefGpt4

ROWS = [
    {"instruction": "Ola?", "response": "Tudo bem.", "language": "pt"},
    {"instruction": "Hello?", "response": "Hi.", "language": "en"},
    {"instruction": "Bye?", "response": "See you.", "language": "en"},
    {"instruction": "Well?", "response": "Well.", "language": "en"},
]
MARKS = {"Ola?": "[[9]]", "Hello?": "[[2]]", "Bye?": "[[4]]", "Well?": "Well said!"}


@pytest.fixture
def rows(tmp_path):
    return rows_file(tmp_path / "aya.jsonl", ROWS)


def rated(turns):
    return next(mark for asked, mark in MARKS.items() if asked in turns[0]["content"])


def test_every_language_counts_alike(rows, serve):
    server = serve(rated)
    suite = RefGpt4(source=rows, judge=judge(server))
    suite.check()
    scored = suite.score(ScriptedTalker(lambda turns: "answer"), quiet)
    assert [row.group for row in scored] == ["pt", "en", "en", "en"]
    assert summary(suite, scored) == {"score": 6.0, "row_score": 5.0, "unparsed": 1.0}
    assert "[Reference answer]\nTudo bem.\n\n[Answer]\nanswer" in server.asked[0][2]["messages"][0]["content"]


def test_a_limit_draws_as_many_rows_of_each_language(tmp_path, serve):
    """In a file that stands by language, its first rows would be of one."""
    rows = [{"instruction": f"{language} {n}", "response": "x", "language": language} for language in ("ar", "en", "pt") for n in range(20)]
    suite = RefGpt4(source=rows_file(tmp_path / "aya.jsonl", rows), judge=judge(serve(lambda turns: "[[5]]")), limit=7)
    talker = ScriptedTalker(lambda turns: "answer")
    scored = suite.score(talker, quiet)
    assert sorted(Counter(row.group for row in scored).values()) == [2, 2, 3]
    assert [row.group for row in scored] == sorted(row.group for row in scored)  # in the order of the file
    assert {turns[0][1] for turns in talker.asked} != {row["instruction"] for row in rows[:7]}
    again = ScriptedTalker(lambda turns: "another")
    suite.score(again, quiet)
    assert again.asked == talker.asked


def test_without_reference_the_judge_sees_the_answer_alone(rows, serve):
    server = serve(rated)
    suite = RefGpt4(source=rows, judge=judge(server), reference=False, by=None)
    assert summary(suite, suite.score(ScriptedTalker(lambda turns: "answer"), quiet))["score"] == 5.0
    assert "Tudo bem." not in server.asked[0][2]["messages"][0]["content"]


def test_a_set_without_languages_says_so(tmp_path):
    file = rows_file(tmp_path / "chat.jsonl", [{"instruction": "a", "response": "b"}])
    with pytest.raises(RecipeError, match=r"ref_gpt4\.by: some row has no column 'language'; name the column .* or write null"):
        RefGpt4(source=file, judge={"kind": "llm", "model": "tiny-llama"}).check()
