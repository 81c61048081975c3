"""Clients' own models: kept by the round, given one at a time in the order of the clients, and forgotten when the round begins anew."""

import pytest
import torch

from fedloom.errors import RefusedMessageError
from fedloom.federation.client_models import ClientModels
from fedloom.state import State


def test_models_come_back_in_the_order_of_the_clients_without_those_that_did_not_take_part(tmp_path):
    models = ClientModels(tmp_path / "clients", 3)
    states = {name: State.of({"w": torch.full((2,), float(number))}) for number, name in enumerate(("west", "a/b", "east"))}
    for name, state in states.items():
        models.keep(name, state)
    found = list(models.of(["east", "absent", "a/b", "west"]))
    assert [name for name, _ in found] == ["east", "a/b", "west"]
    assert all(torch.equal(state.flat, states[name].flat) for name, state in found)
    models.clear()
    assert list(models.of(["east"])) == []
    models.clear()


def test_a_model_of_another_round_is_none_of_this_one(tmp_path):
    ClientModels(tmp_path, 2).keep("east", State.of({"w": torch.ones(2)}))
    with pytest.raises(RefusedMessageError):
        list(ClientModels(tmp_path, 3).of(["east"]))
