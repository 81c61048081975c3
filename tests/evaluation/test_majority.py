"""The majority answer: what always saying the most common label would score."""

from dataclasses import dataclass

import numpy as np
import pytest

from fedloom.data.records import Conversation, Picture, Provenance, Turn
from fedloom.evaluation.majority import majority_right, record_majority
from fedloom.federation.preparing import PreparedRecords


def answered(*responses, alternatives=()):
    return [Conversation((Turn("user", "?"), Turn("assistant", response)), Provenance.PRIVATE, {}, alternatives) for response in responses]


def pictures(*labels):
    return [Picture(np.zeros((2, 2, 1), np.uint8), label, Provenance.PRIVATE) for label in labels]


def test_the_most_common_training_response_is_counted_in_the_held_out_rows():
    assert majority_right(answered("yes", "no", "yes"), answered("yes", "no", "no", "yes", "yes")) == 3


def test_the_label_of_a_picture_is_its_class():
    assert majority_right(pictures("cat", "dog", "dog"), pictures("dog", "cat", "dog")) == 2


def test_another_right_answer_of_a_row_counts():
    assert majority_right(answered("yes"), answered("true", "false", alternatives=("yes",))) == 2


def test_nothing_held_out_is_nothing_right():
    assert majority_right(answered("yes"), []) == 0


@dataclass
class Sites:
    """The prepared records of several owners."""

    records: dict[str, PreparedRecords]

    @property
    def owners(self):
        return list(self.records)

    def prepared(self, owner):
        return self.records[owner]


@pytest.mark.parametrize("measure", ["exact_match", "accuracy"])
def test_it_is_recorded_for_each_client_and_for_all_rows_together_under_the_tasks_measure(measure):
    recorded = {}
    sites = Sites(
        {
            "north": PreparedRecords(answered("yes", "yes", "no"), answered("yes", "no"), {}),
            "east": PreparedRecords(answered("red"), answered(*["red"] * 8), {}),
            "south": PreparedRecords(answered("two"), [], {}),
        }
    )
    record_majority(sites, measure, lambda number, client, name, value: recorded.__setitem__((number, client, name), value))
    name = f"held_out/majority/{measure}"
    assert recorded == {(0, "north", name): 0.5, (0, "east", name): 1.0, (0, None, name): pytest.approx(0.9)}
