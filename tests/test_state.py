"""States: named tensors over one flat vector, with arithmetic, hashes and a word for what does not fit."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from fedloom.errors import FedloomError
from fedloom.state import Layout, State

SHAPES = st.lists(arrays.array_shapes(min_dims=0, max_dims=3, min_side=0, max_side=4), max_size=5)


@st.composite
def states(draw, count=1):
    shapes = draw(SHAPES)
    generator = torch.Generator().manual_seed(draw(st.integers(0, 2**31)))
    made = [State.of({f"t{i}": torch.randn(shape, generator=generator) for i, shape in enumerate(shapes)}) for _ in range(count)]
    return made[0] if count == 1 else made


def pair(a=(1.0, 2.0), b=((3.0, 4.0), (5.0, 6.0))):
    return State.of({"a": torch.tensor(a), "b": torch.tensor(b)})


@settings(deadline=None)
@given(states())
def test_what_goes_into_a_state_comes_out(state):
    again = State.of(dict(state))
    assert again.equals(state)
    assert [tuple(tensor.shape) for tensor in again.values()] == [shape for _, shape in state.layout.entries]


@settings(deadline=None)
@given(states(count=2), st.floats(-4, 4, width=32))
def test_arithmetic_is_that_of_the_tensors(two, factor):
    left, right = two
    for name in left:
        assert torch.equal((left + right)[name], left[name] + right[name])
        assert torch.equal((left - right)[name], left[name] - right[name])
        assert torch.equal((factor * left)[name], left[name] * factor)
        torch.testing.assert_close(left.clone().add_(right, factor)[name], left[name] + factor * right[name])


@settings(deadline=None)
@given(states())
def test_equal_states_have_equal_hashes_and_one_changed_bit_another(state):
    assert state.clone().sha256() == state.sha256()
    if state.layout.numel:
        changed = state.clone()
        changed.flat.view(torch.int32)[-1] ^= 1
        assert changed.sha256() != state.sha256()


def test_the_hash_covers_names_and_shapes():
    values = torch.arange(4.0)
    assert len({State.of(t).sha256() for t in ({"a": values}, {"b": values}, {"a": values.view(2, 2)}, {"a": values.view(4, 1)})}) == 4


def test_a_state_copies_what_it_is_made_of_and_keeps_fp32():
    tensor = torch.tensor([1.0, 2.0], dtype=torch.bfloat16)
    state = State.of({"a": tensor})
    tensor.zero_()
    assert state["a"].tolist() == [1.0, 2.0]
    assert state["a"].dtype == torch.float32


def test_a_tensor_of_a_state_is_a_view_of_its_flat_vector():
    state = pair()
    state["b"][0, 1] = 9.0
    assert state.flat.tolist() == [1.0, 2.0, 3.0, 9.0, 5.0, 6.0]
    assert state.norm() == pytest.approx((1 + 4 + 9 + 81 + 25 + 36) ** 0.5)


def test_new_states_share_nothing_with_those_they_came_from():
    state = pair()
    for other in (state.clone(), state.zeros(), state + state, state * 2.0):
        other.flat.fill_(7.0)
    assert state.equals(pair())


@pytest.mark.parametrize(
    ("entries", "words"),
    [
        ((("a", (2,)), ("b", (2, 2))), ""),
        ((("a", (2,)),), "tensor 'b' is missing"),
        ((("a", (2,)), ("b", (4,))), "tensor 'b' has shape [4], expected [2, 2]"),
        ((("a", (2,)), ("b", (2, 2)), ("c", (1,))), "unknown tensor 'c'"),
        ((("b", (2, 2)), ("a", (2,))), "tensors stand in another order"),
    ],
)
def test_what_does_not_fit_a_layout_is_said_in_words(entries, words):
    assert pair().layout.difference(Layout(entries)) == words


def test_states_that_do_not_fit_are_not_added():
    with pytest.raises(FedloomError, match="tensor 'b' is missing"):
        pair() + State.of({"a": torch.zeros(2)})
    with pytest.raises(FedloomError, match="unknown tensor 'b'"):
        State.of({"a": torch.zeros(2)}).add_(pair())


@pytest.mark.parametrize("flat", [torch.zeros(3), torch.zeros(2, dtype=torch.float64), torch.zeros(1, 2)])
def test_a_flat_vector_of_another_length_or_type_is_refused(flat):
    with pytest.raises(FedloomError, match="needs an fp32 vector of that length"):
        State(Layout((("a", (2,)),)), flat)


def test_a_state_shows_its_size_and_hash_but_no_values():
    assert repr(pair()) == f"State(2 tensors, 6 values, {pair().sha256()[:12]})"
