"""Rows without anything to learn are left out, of training rows and of held-out ones, whatever the task."""

import pytest

from fedloom.data.records import Conversation, Provenance, Turn
from fedloom.errors import DataError
from fedloom.models.encoders import TextEncoder
from fedloom.models.load import load_model
from fedloom.recipe import ModelRecipe
from fedloom.tasks import SFT, Classify
from fedloom.tasks.encoding import encode_client, encode_learnable


@pytest.fixture(scope="module")
def encoder(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("FEDLOOM_HOME", str(tmp_path_factory.mktemp("home")))
        yield TextEncoder(load_model(ModelRecipe(id="tiny-llama", device="cpu")).tokenizer, "chat", 64)


def record(asked="hot?", answer="cold", *others, rejected=None):
    return Conversation((Turn("user", asked), Turn("assistant", answer)), Provenance.PRIVATE, {"label": "true"}, others, rejected)


LONG = "why? " * 200


def test_training_rows_without_a_response_token_are_left_out_and_the_others_are_as_alone(encoder):
    records = [record(), record(LONG), record("wet?", "dry")]
    encoded = encode_learnable(SFT(), records, encoder)
    assert list(encoded.records) == [records[0], records[2]]
    assert (encoded.left_out, encoded.cut, encoded.groups) == (1, 0, (0, 1))
    assert encoded.path == encode_learnable(SFT(), [records[0], records[2]], encoder).path


def test_a_held_out_record_stays_with_those_of_its_answers_that_are_left(encoder):
    records = [record("a?", "A", "B"), record(LONG, "A", "B"), record("c?", "C")]
    encoded = encode_learnable(SFT(), records, encoder, every_answer=True)
    assert (list(encoded.records), encoded.groups, encoded.left_out) == ([records[0], records[2]], (0, 0, 1), 1)


def test_a_client_without_a_row_to_train_on_is_an_error_and_one_without_held_out_rows_is_none(encoder):
    with pytest.raises(DataError, match=r"no response tokens to train on.*raise data.max_length"):
        encode_client(SFT(), [record(LONG)], [], encoder)
    client = encode_client(SFT(), [record(), record(LONG)], [record(LONG)], encoder)
    assert client.counts == {"train": 1, "held_out": 0, "cut": 0, "held_out_cut": 0, "left_out": 1, "held_out_left_out": 1}


def test_a_record_of_which_several_answers_are_cut_is_one(encoder):
    encoded = encode_learnable(SFT(), [record("a?", LONG, LONG, LONG), record("b?", "B", "C")], encoder, every_answer=True)
    assert (encoded.groups, encoded.cut) == ((0, 0, 0, 1, 1), 1)


def test_rows_that_lose_a_part_are_counted(encoder):
    encoded = encode_learnable(SFT(), [record(answer=LONG), record()], encoder)
    assert (encoded.cut, encoded.left_out) == (1, 0)
    assert encode_learnable(Classify(labels=("cold", "hot")), [record(LONG)], encoder).cut == 1
