"""Names of algorithms in a recipe, and who trains under them."""

import pytest
import torch

import fedloom.algorithms
from fedloom.errors import RecipeError
from fedloom.registry import checked_settings, settings_of
from fedloom.state import State

OWNERS = [f"client-{i}" for i in range(20)]


def test_every_algorithm_of_the_paper_is_registered():
    assert set(fedloom.algorithms.names()) >= {
        "centralized", "fedadagrad", "fedadam", "fedavg", "fedavgm", "fedprox", "fedyogi", "local", "scaffold",
    }  # fmt: skip


@pytest.mark.parametrize("name", fedloom.algorithms.names())
def test_every_setting_has_a_description_and_a_default(name):
    for setting in settings_of(fedloom.algorithms.get(name)):
        assert setting.description
        assert setting.default is not ...


@pytest.mark.parametrize("name", fedloom.algorithms.names())
def test_every_algorithm_takes_a_variant_and_an_aggregate(name):
    checked = checked_settings(fedloom.algorithms.get(name), {"variant": "textbook", "aggregate": "average_factors"}, "algorithm")
    assert fedloom.algorithms.get(name)(**checked).variant == "textbook"


def test_a_setting_out_of_range_is_named():
    with pytest.raises(RecipeError, match=r"algorithm\.tau: input should be greater than 0, got 0"):
        checked_settings(fedloom.algorithms.get("fedadam"), {"tau": 0}, "algorithm")


def test_local_12_trains_client_12_and_nobody_else():
    assert fedloom.algorithms.get("local:12")().trainers(OWNERS) == {"client-12": ("client-12",)}
    assert fedloom.algorithms.get("local")(client=12).trainers(OWNERS) == {"client-12": ("client-12",)}


def test_a_client_that_does_not_exist_cannot_train_alone():
    with pytest.raises(RecipeError, match=r"algorithm\.client: there are 20 clients, counted from 0; got 20"):
        fedloom.algorithms.get("local:20")().trainers(OWNERS)


def test_centralized_is_one_client_with_the_rows_of_all_owners():
    assert fedloom.algorithms.get("centralized")().trainers(OWNERS) == {"centralized": tuple(OWNERS)}


def test_other_algorithms_draw_among_the_owners():
    assert fedloom.algorithms.get("fedavg")().trainers(OWNERS) is None


def test_a_short_name_is_a_name_and_a_setting():
    assert fedloom.algorithms.split_name("local:3") == ("local", {"client": "3"})
    assert fedloom.algorithms.split_name("fedavg") == ("fedavg", {})


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("fedavg:3", "algorithm.name: 'fedavg' takes nothing behind a colon, got 'fedavg:3'"),
        ("local:x", "algorithm.client: input should be a valid integer.*, got 'x'"),
        ("local:-1", "algorithm.client: input should be greater than or equal to 0, got '-1'"),
        ("fedavgg", r"algorithm\.name: unknown algorithm 'fedavgg'; did you mean 'fedavg'\?"),
    ],
)
def test_a_name_that_is_wrong_is_explained_in_one_line(name, message):
    with pytest.raises(RecipeError, match=message):
        fedloom.algorithms.get(name)


@pytest.mark.parametrize("name", fedloom.algorithms.names())
def test_an_algorithm_restored_from_nothing_is_as_it_was_started(name):
    state = State.of({"w": torch.tensor([0.5, -0.5]), "score": torch.tensor([1.0])})
    started, restored = fedloom.algorithms.get(name)(), fedloom.algorithms.get(name)()
    started.start(state, clients=3)
    restored.start(state, clients=3)
    restored.restore({})
    hashes = [{key: kept.sha256() for key, kept in rule.server_memory().items()} for rule in (started, restored)]
    assert hashes[0] == hashes[1]


def test_an_algorithm_can_be_driven_with_plain_tensors():
    rule = fedloom.algorithms.get("fedavg")()
    rule.start({"w": torch.tensor([1.0, 2.0])})
    rule.add({"w": torch.tensor([1.0, 0.0])}, weight=3)
    rule.add({"w": torch.tensor([-1.0, 4.0])}, weight=1)
    assert rule.step()["w"].tolist() == [1.5, 3.0]
