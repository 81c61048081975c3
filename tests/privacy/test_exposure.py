"""Exposure of secrets, against numbers worked out by hand."""

from __future__ import annotations

import numpy as np
import pytest

from fedloom.privacy.exposure import by_chance, ceiling, exposures, summary


def test_exposure_falls_with_the_rank_among_the_secrets_that_were_not_inserted():
    """Beside seven others |R| is 8: the first of all has log2 8 - log2 1 = 3 bits, the fourth 1, the last 0; a tie counts half."""
    others = np.array([1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0])
    np.testing.assert_allclose(exposures(np.array([0.5, 3.5, 9.0, 1.0]), others), [3, 1, 0, 3 - np.log2(1.5)])


def test_a_model_that_has_seen_none_is_expected_to_show_1_44_bits():
    """Of |R| = 4 the ranks give 2, 1, 2 - log2 3 and 0 bits."""
    assert by_chance(3) == pytest.approx((2 + 1 + 2 - np.log2(3) + 0) / 4)
    assert by_chance(10**6) == pytest.approx(np.log2(np.e), abs=1e-4)
    stream = np.random.default_rng(0)
    assert exposures(stream.random(20_000), stream.random(255)).mean() == pytest.approx(by_chance(255), abs=0.1)


def test_a_summary_tells_what_can_be_reached():
    found = summary(np.zeros(5), np.ones(63))
    assert found == {"mean": 6, "largest": 6, "by_chance": by_chance(63), "ceiling": ceiling(63), "inserted": 5, "others": 63}
