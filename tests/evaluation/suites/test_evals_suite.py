"""The suite `evals`: answers that begin with a right one, or name its letter."""

import numpy as np
import pytest

from fedloom.data.records import Conversation, Provenance, Turn
from fedloom.evaluating import chosen_suites
from fedloom.evaluation.suites import evals_sets
from fedloom.evaluation.suites.evals_sets import scores

ATROPHY = "c) Atrophy"


@pytest.mark.parametrize(
    ("said", "right", "expected"),
    [
        ("c) Atrophy", [ATROPHY], (1, 1, 1)),
        (" c) Atrophy of it", [ATROPHY], (1, 0, 1)),
        ("(C).", [ATROPHY], (0, 0, 1)),
        ("Atrophy", [ATROPHY], (0, 0, 0)),
        ("Because of it", [ATROPHY], (0, 0, 0)),
        ("B", ["A", "B"], (1, 1, 1)),
        ("42", ["4"], (1, 0, None)),
    ],
)
def test_an_answer_is_right_that_begins_with_a_right_one(said, right, expected):
    found = scores(said, right)
    assert (found["match"], found["exact_match"], found.get("letter")) == expected


def test_means_are_over_rows_and_beside_it_over_sets(monkeypatch):
    answers = {"first": ["A", "A", "A"], "second": ["B"]}

    def rows(name):
        turns = [(Turn("user", f"{name} {n}"), Turn("assistant", answer)) for n, answer in enumerate(answers[name])]
        return [Conversation(one, Provenance.PUBLIC) for one in turns]

    class Talker:
        def answers(self, asked, max_new_tokens, progress):
            return ["A" if turns[-1].content in ("first 0",) else "B" for turns in asked]

    monkeypatch.setattr(evals_sets, "_rows", rows)
    suite = chosen_suites(["evals"], ["evals.sets=first,second"])["evals"]
    scored = suite.score(Talker(), lambda done, total: None)
    assert [(row.row, row.group) for row in scored] == [
        ("first/0", "first"),
        ("first/1", "first"),
        ("first/2", "first"),
        ("second/0", "second"),
    ]
    found = suite.summary(scored, np.ones(4))
    assert (found["match"], found["match_of_sets"]) == (0.5, pytest.approx((1 / 3 + 1) / 2))
    alone = chosen_suites(["evals"], ["evals.sets=[first]", "evals.limit=2"])["evals"]
    assert alone.summary(alone.score(Talker(), lambda done, total: None), np.ones(2)) == {"match": 0.5, "exact_match": 0.5, "letter": 0.5}
