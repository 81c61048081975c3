"""Codecs: what is lost is bounded, what is sent is small, and what is lost in one round is made up for in the next."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from safetensors.torch import save

import fedloom.federation.codec
from fedloom.errors import RefusedMessageError
from fedloom.federation.codec import NF4_LEVELS, check_parts, codecs, with_feedback
from fedloom.federation.messages import Message, encode
from fedloom.state import State

NAMES = ["fp32", "bf16", "int8", "nf4"]
BLOCKS = {"int8": 256, "nf4": 64}
LOSS = {
    "fp32": 0.0,
    "bf16": 2.0**-8,  # half a unit in the last of eight places
    "int8": 0.5 / 127 * (1 + 2.0**-7) + 2.0**-8,  # half a step, and the scale's own rounding at the largest value
    "nf4": float(NF4_LEVELS.diff().max()) / 2 + 2.0**-7,
}
"""Largest error of a value, as a share of the largest of its block (bf16: of itself)."""

vectors = arrays.arrays("float32", st.integers(0, 700), elements=st.floats(-1e6, 1e6, width=32, allow_subnormal=False)).map(
    torch.from_numpy
)


def passed(name, flat):
    codec = codecs.get(name)
    coded = codec.encode(flat)
    check_parts(codec, coded, len(flat))
    return codec.decode(coded, len(flat))


def random(n, seed=0):
    return torch.randn(n, generator=torch.Generator().manual_seed(seed))


def bound(name, flat):
    if name not in BLOCKS:
        return flat.abs() * LOSS[name]
    blocks = flat.abs().split(BLOCKS[name])
    return torch.cat([block.max().expand(len(block)) for block in blocks if len(block)] or [flat]) * LOSS[name]


@pytest.mark.parametrize("name", NAMES)
@settings(deadline=None, max_examples=60)
@given(flat=vectors)
def test_the_loss_of_a_value_is_bounded_by_its_block(name, flat):
    decoded = passed(name, flat)
    assert decoded.dtype == torch.float32
    assert decoded.shape == flat.shape
    assert ((decoded - flat).abs() <= bound(name, flat) + 1e-30).all()


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("n", [0, 1, 63, 64, 65, 255, 256, 257, 1001])
def test_zeros_and_the_largest_of_a_block_survive_at_any_length(name, n):
    assert torch.equal(passed(name, torch.zeros(n)), torch.zeros(n))
    flat = torch.zeros(n)
    flat[n // 2 :] = 0.5
    assert torch.equal(passed(name, flat)[: n // 2], flat[: n // 2])
    torch.testing.assert_close(passed(name, flat), flat, rtol=2.0**-7, atol=0)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("n", [511, 512, 513, 1024, 1301])
def test_a_vector_longer_than_a_chunk_is_coded_as_if_in_one_piece(name, n, monkeypatch):
    flat = random(n)
    whole, decoded = codecs.get(name).encode(flat), passed(name, flat)
    monkeypatch.setattr(fedloom.federation.codec, "_CHUNK", 512)
    pieces = codecs.get(name).encode(flat)
    assert all(torch.equal(pieces[part], whole[part]) for part in whole)
    assert torch.equal(passed(name, flat), decoded)


@pytest.mark.parametrize("name", ["int8", "nf4"])
def test_values_on_both_sides_of_a_real_chunk_keep_their_places(name):
    n = fedloom.federation.codec._CHUNK + 65
    flat = torch.zeros(n)
    flat[-66:-64], flat[-1] = torch.tensor([1.0, -1.0]), 0.5
    torch.testing.assert_close(passed(name, flat), flat, rtol=0.05, atol=0)


@pytest.mark.parametrize("name", ["int8", "nf4"])
def test_a_large_value_spoils_only_its_own_block(name):
    block = BLOCKS[name]
    flat = random(3 * block)
    alone = passed(name, flat)
    flat[block] = 1e6
    assert torch.equal(passed(name, flat)[:block], alone[:block])
    assert torch.equal(passed(name, flat)[2 * block :], alone[2 * block :])


def test_the_nf4_levels_themselves_are_exact():
    flat = NF4_LEVELS.repeat(4) * 2.0
    assert torch.equal(passed("nf4", flat), flat)


def adapter():
    """LoRA of rank 8 on q and v of SmolLM2-135M, named as PEFT names it."""
    tensors = {}
    for layer in range(30):
        for module, width in (("q_proj", 576), ("v_proj", 192)):
            name = f"base_model.model.model.layers.{layer}.self_attn.{module}"
            tensors[f"{name}.lora_A.default.weight"] = random((8 * 576), layer).view(8, 576)
            tensors[f"{name}.lora_B.default.weight"] = random((width * 8), layer).view(width, 8)
    return State.of(tensors)


@pytest.mark.parametrize(("name", "share"), [("bf16", 1 / 2), ("int8", 1 / 3.9), ("nf4", 1 / 7)])
def test_a_whole_message_of_an_adapter_is_as_small_as_promised(name, share):
    state = adapter()
    full = 4 * state.layout.numel
    size = len(encode(Message("update", 1, "clinic", {"update": state}, {"examples": 100, "loss": 0.5}), name))
    slack = 0.01 if name == "bf16" else 0.0  # the header, beside values that take exactly half
    assert size < full * (share + slack)


def test_a_message_in_fp32_costs_little_beside_its_values():
    state = adapter()
    assert len(encode(Message("update", 1, "clinic", {"update": state}))) < 4 * state.layout.numel + 4096


@pytest.mark.parametrize("name", ["bf16", "int8", "nf4"])
def test_what_is_lost_in_one_round_is_made_up_for_in_the_next(name):
    rounds, n = 200, 300
    state = State.of({"w": random(n)})
    codec, residual, sent, truth = codecs.get(name), None, torch.zeros(n), torch.zeros(n)
    for number in range(rounds):
        update = State(state.layout, state.flat + 0.1 * random(n, number))
        coded, residual = with_feedback(codec, update, residual)
        sent, truth = sent + codec.decode(coded, n), truth + update.flat
    plain = sum(passed(name, state.flat + 0.1 * random(n, number)) for number in range(rounds))
    torch.testing.assert_close(sent + residual.flat, truth, rtol=0, atol=2e-3)
    assert (sent - truth).norm() / truth.norm() < LOSS[name] / 20
    assert (sent - truth).norm() < (plain - truth).norm()


@pytest.mark.parametrize("name", NAMES)
def test_feedback_keeps_exactly_what_was_not_sent(name):
    state = State.of({"w": random(100)})
    coded, residual = with_feedback(codecs.get(name), state, None)
    assert torch.equal(residual.flat, state.flat - codecs.get(name).decode(coded, 100))
    assert residual.norm() == 0 or name != "fp32"


@pytest.mark.parametrize("name", NAMES)
def test_parts_of_another_name_type_or_length_are_refused(name):
    codec = codecs.get(name)
    coded = codec.encode(random(100))
    for wrong, reason in [
        ({}, "coded tensors are"),
        (coded | {"more": torch.zeros(1)}, "coded tensors are"),
        (coded | {"values": coded["values"].double()}, "is float64, expected"),
        (coded | {"values": coded["values"][:-1]}, "has shape"),
        (coded | {"values": coded["values"][None]}, "has shape"),
    ]:
        with pytest.raises(RefusedMessageError, match=reason):
            check_parts(codec, wrong, 100)


@pytest.mark.parametrize("name", NAMES)
def test_coding_is_deterministic_and_leaves_its_input_alone(name):
    flat = random(1000)
    before = flat.clone()
    codec = codecs.get(name)
    assert save(codec.encode(flat)) == save(codec.encode(flat))
    assert torch.equal(flat, before)
