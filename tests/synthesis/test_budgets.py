from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fedloom.errors import RecipeError
from fedloom.synthesis.budgets import SHARES, allocate

COUNTS = st.lists(st.integers(0, 10_000), min_size=1, max_size=30)
TOTALS = st.integers(0, 20_000)


def test_the_example_of_the_specification() -> None:
    counts = [100, 400, 900, 50]
    assert allocate("inverse", counts, 1000) == [372, 233, 0, 395]
    assert allocate("water_filling", counts, 1000) == [417, 117, 0, 466]
    assert allocate("equal", counts, 1000) == [250, 250, 250, 250]


def test_of_equal_remainders_the_lower_index_comes_first() -> None:
    assert allocate("equal", [5, 5, 5], 2) == [1, 1, 0]
    assert allocate("inverse", [7, 7, 7, 7], 6) == [2, 2, 1, 1]
    assert allocate("water_filling", [0, 0, 3], 5) == [3, 2, 0]


def test_a_budget_of_less_than_the_gaps_fills_the_lowest_alone() -> None:
    assert allocate("water_filling", [0, 10, 20], 6) == [6, 0, 0]
    assert allocate("water_filling", [0, 10, 20], 14) == [12, 2, 0]


@given(st.sampled_from(sorted(SHARES)), COUNTS, TOTALS)
def test_shares_are_whole_and_add_up_exactly(kind: str, counts: list[int], total: int) -> None:
    shares = allocate(kind, counts, total)
    assert sum(shares) == total
    assert min(shares) >= 0
    assert all(abs(share - exact) < 1 for share, exact in zip(shares, SHARES[kind](counts, total), strict=True))


@given(st.sampled_from(["inverse", "water_filling"]), COUNTS, TOTALS)
def test_whoever_has_less_gets_no_less_but_for_rounding(kind: str, counts: list[int], total: int) -> None:
    shares = allocate(kind, counts, total)
    for i, own in enumerate(counts):
        assert all(shares[i] >= shares[j] - 1 for j, other in enumerate(counts) if own <= other)


@given(COUNTS, TOTALS)
def test_water_filling_lifts_all_that_get_something_to_one_level(counts: list[int], total: int) -> None:
    shares = SHARES["water_filling"](counts, total)
    levels = {count + share for count, share in zip(counts, shares, strict=True) if share > 0}
    assert len(levels) <= 1
    assert all(count >= max(levels, default=Fraction(0)) for count, share in zip(counts, shares, strict=True) if share == 0)


@pytest.mark.parametrize(("kind", "counts", "total"), [("equal", [], 3), ("inverse", [1, -1], 3), ("water_filling", [1], -1)])
def test_numbers_that_cannot_be_shared_are_refused(kind: str, counts: list[int], total: int) -> None:
    with pytest.raises(RecipeError, match="one holder or more, and no number may be below 0"):
        allocate(kind, counts, total)


def test_an_unknown_kind_names_the_nearest() -> None:
    with pytest.raises(RecipeError, match="did you mean 'water_filling'"):
        allocate("water-filling", [1], 1)  # type: ignore[arg-type]
