"""Partitioners: whatever the data, clients are disjoint, together complete, never empty, and the same for the same stream."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fedloom.data.partition import by_field, by_source, dirichlet, iid, partitioners, quantity, shards
from fedloom.data.records import Conversation, Picture, Provenance, Turn
from fedloom.errors import DataError, RecipeError


def examples(labels, **fields):
    return [
        Conversation((Turn("user", "?"), Turn("assistant", str(label))), Provenance.PUBLIC, {"label": str(label), **fields})
        for label in labels
    ]


def stream(seed=0):
    return np.random.default_rng(seed)


PARTITIONS = {
    "iid": lambda rows, clients, rng: iid(rows, clients, rng),
    "by_field": lambda rows, clients, rng: by_field(rows, None, rng, field="label"),
    "dirichlet": lambda rows, clients, rng: dirichlet(rows, clients, rng, field="label", alpha=5.0, min_rows=1),
    "shards": lambda rows, clients, rng: shards(rows, clients, rng, field="label"),
    "quantity": lambda rows, clients, rng: quantity(rows, clients, rng, alpha=5.0, min_rows=1),
}


@pytest.mark.parametrize("kind", PARTITIONS)
@given(labels=st.lists(st.integers(0, 3), min_size=30, max_size=60), clients=st.integers(1, 5), seed=st.integers(0, 2**32))
def test_every_row_belongs_to_exactly_one_client_and_no_client_is_empty(kind, labels, clients, seed):
    rows = examples(labels)
    parts = PARTITIONS[kind](rows, clients, stream(seed))
    assert sorted(row for part in parts.values() for row in part) == list(range(len(rows)))
    assert all(part and part == sorted(part) for part in parts.values())
    assert len(parts) == (len(set(labels)) if kind == "by_field" else clients)
    assert parts == PARTITIONS[kind](rows, clients, stream(seed))


def test_all_partitioners_are_known_to_recipes():
    assert set(partitioners.names()) >= {"iid", "by_field", "by_source", "dirichlet", "shards", "quantity"}


def test_iid_sizes_differ_by_one_at_the_most():
    sizes = {len(part) for part in iid(examples(range(10)), 3, stream()).values()}
    assert sizes == {3, 4}


def test_clients_of_ours_sort_in_their_order():
    names = list(iid(examples(range(120)), 101, stream()))
    assert names == sorted(names)
    assert list(iid(examples(range(4)), 2, stream())) == ["client-00", "client-01"]


def test_by_field_names_clients_after_the_values():
    assert by_field(examples("babb"), 2, stream(), field="label") == {"a": [1], "b": [0, 2, 3]}


def test_by_field_keeps_the_largest_clients_when_fewer_are_asked_for():
    assert list(by_field(examples("abbccc"), 2, stream(), field="label")) == ["b", "c"]


def test_by_field_with_too_many_clients_says_how_many_values_there_are():
    with pytest.raises(RecipeError, match=r"federation\.clients: is 5, but the field 'label' has 2 values"):
        by_field(examples("ab"), 5, stream(), field="label")


def test_a_field_that_rows_lack_names_the_nearest_one():
    with pytest.raises(DataError, match=r"2 of 2 rows have no field 'lable'; did you mean 'label'\?"):
        by_field(examples("ab"), None, stream(), field="lable")


def test_by_source_gives_one_client_per_file():
    rows = examples("ab", client="clinic") + examples("c", client="school")
    assert by_source(rows, None, stream()) == {"clinic": [0, 1], "school": [2]}


def test_a_small_alpha_is_more_uneven_than_a_large_one():
    rows = examples([0, 1] * 200)

    def largest_share(alpha):
        parts = dirichlet(rows, 4, stream(), field="label", alpha=alpha, min_rows=1)
        return np.mean([np.bincount([row % 2 for row in part], minlength=2).max() / len(part) for part in parts.values()])

    assert largest_share(0.1) > 0.8 > 0.6 > largest_share(1000.0)


def test_dirichlet_gives_up_with_the_reason_and_the_fix():
    with pytest.raises(RecipeError, match=r"1000 draws with alpha 0\.01 left one of 10 clients below 9 rows; raise alpha"):
        dirichlet(examples([0] * 100), 10, stream(), field="label", alpha=0.01, min_rows=9)


def test_quantity_skew_respects_the_least_rows():
    sizes = sorted(len(part) for part in quantity(examples(range(200)), 5, stream(), alpha=0.3, min_rows=4).values())
    assert sizes[0] >= 4
    assert sizes[-1] > 2 * sizes[0]


def test_two_shards_hold_few_labels():
    parts = shards(examples([row // 10 for row in range(100)]), 10, stream(), field="label", per_client=1)
    assert all(len({row // 10 for row in part}) == 1 for part in parts.values())


def test_the_answer_itself_can_be_the_label():
    parts = shards(examples("ab" * 10), 2, stream(), per_client=1)
    assert sorted(parts.values()) == [list(range(0, 20, 2)), list(range(1, 20, 2))]


@pytest.mark.parametrize("field", ["response", "label"])
def test_without_such_a_column_response_and_label_are_the_records_own_label(field):
    rows = [Picture(np.zeros((1, 1, 1), np.uint8), label, Provenance.PUBLIC) for label in "ab" * 10]
    assert sorted(shards(rows, 2, stream(), field=field, per_client=1).values()) == [list(range(0, 20, 2)), list(range(1, 20, 2))]
    assert len(dirichlet(rows, 2, stream(), field=field, alpha=5.0)) == 2


def test_a_column_called_label_wins_and_every_row_has_to_have_it():
    rows = [Picture(np.zeros((1, 1, 1), np.uint8), "same", Provenance.PUBLIC, {"label": label}) for label in "abab"]
    assert sorted(shards(rows, 2, stream(), field="label", per_client=1).values()) == [[0, 2], [1, 3]]
    rows = [*examples("ab"), Conversation((Turn("user", "?"), Turn("assistant", "c")), Provenance.PUBLIC)]
    with pytest.raises(DataError, match=r"1 of 3 rows have no field 'label'"):
        shards(rows, 1, stream(), field="label")


@pytest.mark.parametrize("partition", [iid, quantity, dirichlet, shards])
def test_a_number_of_clients_is_required_and_has_to_fit_the_rows(partition):
    with pytest.raises(RecipeError, match=r"federation\.clients: is required"):
        partition(examples("abc"), None, stream())
    with pytest.raises(RecipeError, match=r"federation\.clients: 9 clients .* do not fit 3 rows"):
        partition(examples("abc"), 9, stream())
