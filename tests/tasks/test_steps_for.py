"""How many steps a client takes in a round: a number that is the same for all, or as many as its passes over the whole run need."""

from types import SimpleNamespace

import pytest

from fedloom.agreed import agree
from fedloom.errors import RecipeError
from fedloom.models.encoders import TextEncoder
from fedloom.resolve import load_recipe
from fedloom.tasks import SFT

BENCH = SimpleNamespace(sha256="of-the-model", encoder=TextEncoder(None, "chat", 96))


@pytest.mark.parametrize("rows", [1, 10, 10_000])
def test_without_passes_every_client_takes_the_same_steps(rows):
    assert SFT(steps=7).steps_for(rows) == 7


@pytest.mark.parametrize(
    ("rows", "batch_size", "accumulation", "steps"),
    [
        (1, 16, 1, 1),  # 3 x 1 / 20 / 16 = 0.009
        (100, 16, 1, 1),  # 0.94
        (107, 16, 1, 2),  # 1.003
        (1000, 16, 1, 10),  # 9.4
        (1000, 16, 2, 5),  # 4.7
        (1000, 1, 1, 150),  # exactly
    ],
)
def test_three_passes_over_a_run_of_two_hundred_rounds_with_two_of_twenty_clients(rows, batch_size, accumulation, steps):
    """K_i = ceil(3 n_i / (T S/N) / (B G)) with T = 200, S = 2, N = 20."""
    task = SFT(steps=7, passes=3, participations=200 * 2 / 20, batch_size=batch_size, accumulation=accumulation)
    assert task.steps_for(rows) == steps


def test_a_client_that_takes_part_takes_a_step_however_few_its_rows_are():
    assert SFT(passes=1e-9, participations=200, batch_size=16).steps_for(1) == 1


def test_a_count_that_is_whole_is_not_rounded_up_by_the_last_bit():
    participations = 1 * 7 / 20
    assert 3 * 14 / participations / 8 > 15
    assert SFT(passes=3, participations=participations, batch_size=8).steps_for(14) == 15


@pytest.mark.parametrize(("per_round", "clients", "participations"), [(2, 20, 20.0), (None, 20, 200.0), (2, 2, 200.0), (9, 4, 200.0)])
def test_the_rounds_that_a_client_takes_part_in_are_agreed_on_from_the_federation(per_round, clients, participations):
    recipe = load_recipe("tiny", {"task.passes": 3, "rounds": 200, "federation.clients": None, "per_round": per_round})
    task = agree(recipe, BENCH, clients).task
    assert (task.passes, task.participations) == (3, participations)


def test_participations_of_ones_own_are_kept_and_without_passes_none_are_agreed_on():
    own = load_recipe("tiny", {"task.passes": 2, "task.participations": 5})
    assert agree(own, BENCH, 4).task.participations == 5
    assert agree(load_recipe("tiny"), BENCH, 4).task.participations is None


@pytest.mark.parametrize("key", ["task.passes", "task.participations"])
def test_none_of_them_is_zero(key):
    with pytest.raises(RecipeError, match=rf"{key}: input should be greater than 0"):
        load_recipe("tiny", {key: 0})
