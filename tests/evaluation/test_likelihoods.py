"""Likelihoods of continuations: sums of log-probabilities, whatever stands beside them in a batch, and none computed twice."""

import pytest
import torch

from fedloom.errors import ModelError
from fedloom.evaluation.likelihoods import likelihoods
from fedloom.evaluation.talker import Talker
from fedloom.models.load import load_model
from fedloom.recipe import ModelRecipe

PAIRS = [([5, 6, 7], [8]), ([5, 6, 7], [9]), ([1], [2, 3, 4, 5]), ([11, 12, 13, 14, 15, 16], [17, 18]), ([5, 6], [7, 8])]


@pytest.fixture
def talker(request):
    loaded = load_model(ModelRecipe(id="tiny-llama", device="cpu"))
    return Talker(loaded.model, loaded.tokenizer, "chat", request.node.name, batch_size=3)


def one_by_one(model, context, continuation):
    """The textbook's loop: each token's log-probability after all before it."""
    value, greedy = 0.0, True
    for done, token in enumerate(continuation):
        with torch.no_grad():
            logits = model(torch.tensor([[*context, *continuation[:done]]])).logits[0, -1]
        value += float(logits.log_softmax(-1)[token])
        greedy &= int(logits.argmax()) == token
    return value, greedy


def test_batched_likelihoods_are_those_of_a_loop_over_tokens(talker):
    best = [max(range(512), key=lambda token: one_by_one(talker.model, [5, 6], [token])[0])]
    pairs = [*PAIRS, ([5, 6], best)]
    for found, (context, continuation) in zip(likelihoods(talker, pairs), pairs, strict=True):
        value, greedy = one_by_one(talker.model, context, continuation)
        assert found == (pytest.approx(value, abs=1e-4), greedy)
    assert likelihoods(talker, pairs)[-1][1]


def test_continuations_that_differ_in_the_last_token_share_a_row(talker, monkeypatch):
    read = forwards(talker, monkeypatch)
    likelihoods(talker, [([5, 6, 7], [token]) for token in range(20, 24)])
    assert read == [(1, 3)]


def test_what_is_on_disk_is_not_computed_again(talker, monkeypatch):
    whole = likelihoods(talker, PAIRS)
    read, told = forwards(talker, monkeypatch), []
    assert likelihoods(talker, PAIRS, lambda done, total: told.append((done, total))) == whole
    assert read == []
    assert told[-1] == (5, 5)
    likelihoods(talker, [*PAIRS, ([40], [41])])
    assert len(read) == 1


def test_a_context_that_does_not_fit_loses_its_beginning(talker, monkeypatch):
    monkeypatch.setattr(talker.model.config, "max_position_embeddings", 4)
    ((value, _),) = likelihoods(talker, [([9, 9, 9, 5, 6, 7], [8, 10])])
    assert value == pytest.approx(one_by_one(talker.model, [5, 6, 7], [8, 10])[0], abs=1e-4)
    with pytest.raises(ModelError, match="an answer of 5 tokens does not fit into the model's context of 4"):
        likelihoods(talker, [([1], [2, 3, 4, 5, 6])])


def forwards(talker, monkeypatch):
    """The shapes of what the model reads from here on."""
    read, forward = [], talker.model.forward
    monkeypatch.setattr(
        talker.model, "forward", lambda input_ids, **given: read.append(tuple(input_ids.shape)) or forward(input_ids, **given)
    )
    return read
