"""The majority answer: what always saying the most common response would score."""

import pytest

from fedloom.data.clients import ClientData
from fedloom.data.records import Conversation, Provenance, Turn
from fedloom.evaluation.baselines import record_majority
from fedloom.evaluation.majority import majority_exact


def answered(*responses, alternatives=()):
    return [Conversation((Turn("user", "?"), Turn("assistant", response)), Provenance.PRIVATE, {}, alternatives) for response in responses]


def test_the_most_common_training_response_is_counted_in_the_held_out_rows():
    assert majority_exact(answered("yes", "no", "yes"), answered("yes", "no", "no", "yes", "yes")) == 3


def test_another_right_answer_of_a_row_counts():
    assert majority_exact(answered("yes"), answered("true", "false", alternatives=("yes",))) == 2


def test_nothing_held_out_is_nothing_right():
    assert majority_exact(answered("yes"), []) == 0


def test_it_is_recorded_for_each_client_and_for_all_rows_together():
    recorded = {}
    clients = [
        ClientData("north", answered("yes", "yes", "no"), answered("yes", "no")),
        ClientData("east", answered("red"), answered(*["red"] * 8)),
        ClientData("south", answered("two"), []),
    ]
    record_majority(clients, lambda number, client, name, value: recorded.__setitem__((number, client, name), value))
    name = "held_out/majority/exact_match"
    assert recorded == {(0, "north", name): 0.5, (0, "east", name): 1.0, (0, None, name): pytest.approx(0.9)}
