"""A limit: rows that are drawn, the same for every model."""

from fedloom.evaluation.suite import limited


def test_rows_are_drawn_from_all_over_and_stay_in_order():
    rows = list(range(1000))
    found = limited(rows, 50)
    assert found == sorted(found) == limited(rows, 50)
    assert len(set(found)) == 50
    assert 350 < sum(found) / 50 < 650
    assert limited(rows, None) == limited(rows, 1000) == limited(rows, 2000) == rows


def test_every_group_has_as_many_as_the_others_as_far_as_it_has_them():
    groups = ["a"] * 90 + ["b"] * 8 + ["c"] * 2
    found = limited(groups, 12, groups)
    assert [found.count(group) for group in "abc"] == [5, 5, 2]
