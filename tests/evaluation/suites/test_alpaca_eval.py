"""AlpacaEval: pairs in both orders, and win rates with length taken out."""

import pytest
from scripted import ScriptedTalker, judge, quiet, rows_file, summary

from fedloom.errors import DataError
from fedloom.evaluation.suites.alpaca_eval import AlpacaEval

REFERENCES = [{"instruction": f"task {number}", "output": f"reference {number}", "generator": "davinci"} for number in range(4)]


def winner(of):
    """A judge that prefers the model's answer to the tasks `of`, ties on task 3, and finds no words for the others."""

    def said(turns):
        text = turns[0]["content"]
        task = next(number for number in range(4) if f"task {number}" in text)
        if task == 3:
            return "[[C]]"
        if task not in of:
            return "[[B]]" if text.index("mine") < text.index("reference") else "[[A]]"
        return "[[A]]" if text.index("mine") < text.index("reference") else "[[B]]"

    return said


@pytest.fixture
def references(tmp_path):
    return rows_file(tmp_path / "outputs.jsonl", REFERENCES)


def test_win_rates_count_both_orders_and_ties_as_half(references, serve):
    suite = AlpacaEval(data=references, judge=judge(serve(winner({0, 1}))))
    suite.check()
    rows = suite.score(ScriptedTalker(lambda turns: "mine answer"), quiet)  # as long as the references
    assert [row.values["win"] for row in rows] == [1.0, 1.0, 0.0, 0.5]
    found = summary(suite, rows)
    assert found["win_rate"] == 0.625
    assert found["lc_win_rate"] == pytest.approx(0.625, abs=1e-6)
    assert found["longer"] == 0.0
    assert found["unparsed"] == 0.0


def test_a_second_judge_is_compared_by_kappa(references, serve):
    suite = AlpacaEval(data=references, judge=judge(serve(winner({0, 1}))), second_judge=judge(serve(winner({0}))))
    found = summary(suite, suite.score(ScriptedTalker(lambda turns: "mine"), quiet))
    assert found["agreement"] == 0.75
    assert found["kappa"] == pytest.approx((0.75 - 5 / 16) / (1 - 5 / 16))  # won 2/4 and 1/4, lost 1/4 and 2/4, tied 1/4 and 1/4


def test_a_pair_whose_verdict_cannot_be_read_is_in_no_rate(references, serve):
    server = serve(lambda turns: "Both are nice." if "task 0" in turns[0]["content"] else winner({1})(turns))
    suite = AlpacaEval(data=references, judge=judge(server))
    found = summary(suite, suite.score(ScriptedTalker(lambda turns: "mine"), quiet))
    assert found["win_rate"] == 0.5  # won, lost and tied
    assert found["unparsed"] == 1.0


def test_difficulties_are_numbers(tmp_path):
    file = rows_file(tmp_path / "outputs.jsonl", [{**REFERENCES[0], "instruction_difficulty": "hard"}])
    with pytest.raises(DataError, match=r"outputs\.jsonl:1: column 'instruction_difficulty' should be a number"):
        AlpacaEval(data=file, judge={"kind": "llm", "model": "tiny-llama"}).check()
