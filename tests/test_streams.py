"""Streams of randomness: one for every address, independent of all the others."""

import subprocess
import sys

import numpy as np
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from fedloom.streams import numpy_stream, stream_seed, torch_stream

addresses = st.tuples(
    st.integers(0, 2**40), st.text(max_size=5), st.lists(st.integers(0, 99) | st.text(alphabet="ab1", max_size=3), max_size=3)
)


@settings(deadline=None)
@given(addresses, addresses)
def test_two_addresses_have_two_seeds(one, other):
    # 1 and "1" are the same address: a client may be named by a number
    same = [str(one[0]), one[1], *map(str, one[2])] == [str(other[0]), other[1], *map(str, other[2])]
    assert (stream_seed(one[0], one[1], *one[2]) == stream_seed(other[0], other[1], *other[2])) == same


@settings(deadline=None)
@given(addresses)
def test_a_seed_fits_every_generator(address):
    seed = stream_seed(address[0], address[1], *address[2])
    assert 0 <= seed < 2**63
    torch.Generator().manual_seed(seed)
    np.random.default_rng(seed)


def test_a_draw_does_not_depend_on_other_draws():
    alone = torch.randperm(9, generator=torch_stream(7, "batches", 3, "b")).tolist()
    torch.randperm(9, generator=torch_stream(7, "batches", 3, "a"))
    assert torch.randperm(9, generator=torch_stream(7, "batches", 3, "b")).tolist() == alone
    assert numpy_stream(7, "clients", 1).integers(1000, size=4).tolist() == numpy_stream(7, "clients", 1).integers(1000, size=4).tolist()


def test_streams_read_and_move_no_global_generator():
    torch.manual_seed(1)
    np.random.seed(1)
    before = torch.get_rng_state(), np.random.get_state()[1].copy()
    torch.rand(3, generator=torch_stream(7, "batches", 1))
    numpy_stream(7, "clients", 1).random(3)
    assert torch.equal(torch.get_rng_state(), before[0])
    assert (np.random.get_state()[1] == before[1]).all()


def test_another_process_draws_the_same():
    code = "from fedloom.streams import stream_seed; print(stream_seed(7, 'batches', 3, 'clinic'))"
    assert int(subprocess.check_output([sys.executable, "-c", code])) == stream_seed(7, "batches", 3, "clinic")
