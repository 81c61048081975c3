"""Who takes part in a round."""

from hypothesis import given, settings
from hypothesis import strategies as st

from fedloom.sampling import draw_clients

CLIENTS = [f"client-{i}" for i in range(20)]
seeds = st.integers(0, 2**31)


@settings(deadline=None)
@given(per_round=st.integers(1, 25), seed=seeds, number=st.integers(1, 1000))
def test_clients_are_drawn_without_replacement_in_the_federations_order(per_round, seed, number):
    drawn = draw_clients(CLIENTS, per_round, seed, number)
    assert len(drawn) == len(set(drawn)) == min(per_round, 20)
    assert drawn == sorted(drawn, key=CLIENTS.index)
    assert drawn == draw_clients(CLIENTS, per_round, seed, number)


def test_every_round_try_and_seed_has_a_draw_of_its_own():
    draws = {tuple(draw_clients(CLIENTS, 5, seed, number, attempt)) for seed in (1, 2) for number in (1, 2, 3) for attempt in (0, 1)}
    assert len(draws) == 12


def test_every_client_is_drawn_about_as_often_as_any_other():
    counts = dict.fromkeys(CLIENTS, 0)
    for number in range(1000):
        for client in draw_clients(CLIENTS, 5, 7, number):
            counts[client] += 1
    assert all(190 < count < 310 for count in counts.values())
