"""Messages: what goes in comes out, and everything that is not right is refused with the client's name and the reason."""

import contextlib
import hashlib
import json
import struct
import time
import tracemalloc
import zlib
from pathlib import Path

import numpy as np
import pytest
import torch
from capture_folders import camera
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import load, save

import fedloom.federation.messages
from fedloom.data.records import Capture, Conversation, Document, Picture, Provenance, Turn, View
from fedloom.errors import FedloomError, PrivateDataError, RefusedMessageError
from fedloom.federation.messages import MAGIC, MAX_HEADER, NO_ENVELOPE, Envelope, Expected, Message, decode, encode, peek
from fedloom.state import Layout, State

STATE = State.of({"a": torch.tensor([1.0, -2.0, 3.0]), "b": torch.tensor([[0.5, 0.25]])})
MESSAGE = Message("update", 3, "clinic", {"update": STATE, "control": STATE * 2.0}, {"examples": 10, "loss": 0.5})
EXPECTED = Expected("update", 3, "clinic", NO_ENVELOPE, STATE.layout, frozenset({"update", "control"}), 1 << 20, 100.0)
OPENING = MAGIC + bytes(48)
"""What stands before the length of the header: the magic, the run and the hash of the terms."""
START = len(OPENING) + 4


def same(one, other):
    return (one.kind, one.round, one.client, dict(one.report)) == (other.kind, other.round, other.client, dict(other.report)) and {
        name: state.sha256() for name, state in one.sections.items()
    } == {name: state.sha256() for name, state in other.sections.items()}


def taken_apart(data):
    (length,) = struct.unpack("<I", data[START - 4 : START])
    return json.loads(zlib.decompress(data[START : START + length])), data[START + length :]


def put_together(header, payload, rehash=True):
    if rehash:
        header = header | {"sha256": hashlib.sha256(payload).hexdigest()}
    packed = zlib.compress((header if isinstance(header, str) else json.dumps(header)).encode())
    return OPENING + struct.pack("<I", len(packed)) + packed + payload


def changed(**keys):
    header, payload = taken_apart(encode(MESSAGE))
    return put_together(header | keys, payload)


def with_tensors(change):
    header, payload = taken_apart(encode(MESSAGE))
    tensors = load(payload)
    change(tensors)
    return put_together(header, save(tensors))


def refused(data, expected=EXPECTED):
    with pytest.raises(RefusedMessageError) as caught:
        decode(data, expected)
    assert str(caught.value).startswith(f"message of client '{expected.client}' refused: ")
    assert "\n" not in str(caught.value)
    str(caught.value).encode()
    return str(caught.value)


@pytest.mark.parametrize("codec", ["fp32", "bf16", "int8", "nf4"])
def test_a_message_comes_out_as_it_went_in(codec):
    message = decode(encode(MESSAGE, codec), EXPECTED)
    assert message.report == MESSAGE.report
    for name, state in MESSAGE.sections.items():
        torch.testing.assert_close(message.sections[name].flat, state.flat, atol=0.0 if codec == "fp32" else 1.0, rtol=0)
    assert codec != "fp32" or same(message, MESSAGE)


def test_a_message_may_be_without_tensors_or_of_empty_ones():
    for sections in ({}, {"update": State.of({})}, {"update": State.of({"a": torch.zeros(0, 3)})}):
        message = Message("update", 1, "clinic", sections)
        decoded = decode(encode(message), Expected("update", 1, "clinic"))
        assert {name: state.layout for name, state in decoded.sections.items()} == {n: s.layout for n, s in sections.items()}


def test_two_sections_may_be_one_state():
    message = Message("update", 3, "clinic", {"update": STATE, "control": STATE})
    assert same(decode(encode(message), EXPECTED), message)


def test_equal_messages_are_equal_bytes():
    assert encode(MESSAGE) == encode(Message("update", 3, "clinic", {"update": STATE, "control": STATE * 2.0}, dict(MESSAGE.report)))


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "not a message of this program"),
        (b"PK\x03\x04" + encode(MESSAGE), "not a message of this program"),
        (b"FEDLOOM3" + encode(MESSAGE)[8:], "not a message of this program or of another version"),
        (MAGIC, "cut off in its header"),
        (encode(MESSAGE)[:11], "cut off in its header"),
        (encode(MESSAGE)[:40], "cut off in its header"),
        (encode(MESSAGE)[:-1], "hash"),
        (changed(round=4), "round is 4, expected 3"),
        (changed(client="bank"), "client is 'bank', expected 'clinic'"),
        (changed(kind="measures"), "kind is 'measures', expected 'update'"),
        (changed(codec="int9"), "codec 'int9' is unknown"),
        (changed(codec="int8"), "coded tensors are"),
        (changed(sections={"update": 0}), "belong to no section"),
        (changed(sections={"update": 7, "control": 0}), "section 'update' has no layout"),
        (changed(sections={"update": "0", "control": 0}), "section 'update' has no layout"),
        (changed(sections={"update": False, "control": 0}), "section 'update' has no layout"),
        (changed(layouts=[[["a", [3]], ["b", [1, 2]]], [["c", [1]]]]), "it has a layout that no section uses"),
        (changed(sections={f"s{k}": 0 for k in range(17)}), "it has 17 sections, at most 16 are allowed"),
        (changed(note="hello"), "its header has a key that no message has"),
        (changed(round=True), "its header has no 'round'"),
        (changed(sections={"update": 0, "control": 0, "more": 0}), "coded tensors are []"),
        (changed(layouts=[[["a", [3]]]]), "tensor 'b' is missing"),
        (changed(layouts=[[["a", [3]], ["b", [1, 2]], ["c", [1]]]]), "unknown tensor 'c'"),
        (changed(layouts=[[["a", [3]], ["b", [2, 1]]]]), "tensor 'b' has shape [2, 1], expected [1, 2]"),
        (changed(layouts=[[["b", [1, 2]], ["a", [3]]]]), "another order"),
        (changed(layouts=[[["a", [3]], ["a", [3]]]]), "a name twice"),
        (changed(layouts=[[["a", [-3]], ["b", [1, 2]]]]), "negative or too large"),
        (changed(layouts=[[["a", ["x"]]]]), "negative or too large"),
        (changed(layouts=[["a"]]), "a layout cannot be read"),
        (changed(layouts=[7]), "a layout cannot be read"),
        (changed(layouts=[[["a", [float("inf")]]]]), "negative or too large"),
        (changed(report={"loss": float("nan")}), "report 'loss' is not finite"),
        (changed(report={"loss": float("inf")}), "report 'loss' is not finite"),
        (changed(report={"loss": 10**400}), "report 'loss' is not finite"),
        (changed(report={"loss": [1]}), "report 'loss' is no number"),
        (changed(report={"loss": True}), "report 'loss' is no number"),
        (changed(report=None), "its header has no 'report'"),
        (changed(round="3"), "its header has no 'round'"),
        (put_together({}, b""), "its header has no 'kind'"),
        (put_together("[]", b"", rehash=False), "its header has no 'kind'"),
        (put_together("[" * 20_000, b"", rehash=False), "its header cannot be read"),
        (put_together("nothing", b"", rehash=False), "its header cannot be read"),
        (OPENING + struct.pack("<I", 4) + b"junk", "its header cannot be read"),
        (OPENING + struct.pack("<I", 2**32 - 1) + b"junk", "cut off in its header"),
        (changed(federation="local-0"), "federation is 'local-0', expected ''"),
        (changed(federation=None), "its header has no 'federation'"),
        (changed(federation="../../outside"), "its federation has the name '../../outside'"),
        (changed(federation="/etc"), "its federation has the name '/etc'"),
        (changed(federation="."), "its federation has the name '.'"),
        (changed(federation="x" * 65), "its federation has the name"),
        (changed(body="free text"), "it has a body, which its kind may not have"),
        (changed(report={"loss": "low"}), "report 'loss' is no number"),
        (changed(report={"free text": 1}), "a number in a message has no short name"),
        (MAGIC + b"\1" + encode(MESSAGE)[9:], "it belongs to another run (01000000, expected 00000000)"),
        (encode(MESSAGE)[:24] + b"\2" + encode(MESSAGE)[25:], "its sender has agreed on other terms (02000000, expected 00000000)"),
    ],
)
def test_what_is_wrong_with_a_message_is_said(data, reason):
    assert reason in refused(data)


@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf")])
def test_values_that_are_not_finite_are_refused(value):
    bad = STATE.clone()
    bad.flat[1] = value
    assert "section 'update' holds values that are not finite" in refused(encode(Message("update", 3, "clinic", {"update": bad})))


def test_large_values_whose_sum_overflows_are_finite_all_the_same():
    large = State.of({"a": torch.full((3,), 3e38), "b": torch.full((1, 2), 3e38)})
    assert (
        decode(encode(Message("update", 3, "clinic", {"update": large})), Expected("update", 3, "clinic")).sections["update"].equals(large)
    )


@pytest.mark.parametrize("codec", ["int8", "nf4"])
def test_scales_that_are_not_finite_are_refused(codec):
    header, payload = taken_apart(encode(MESSAGE, codec))
    tensors = load(payload)
    tensors["update/scales"][0] = float("inf")
    assert "not finite" in refused(put_together(header, save(tensors)))


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda t: t.pop("update/values"), "coded tensors are []"),
        (lambda t: t.update({"update/more": torch.zeros(1)}), "coded tensors are ['more', 'values']"),
        (lambda t: t.update({"other": torch.zeros(1)}), "belong to no section: ['other']"),
        (lambda t: t.update({"update/values": t["update/values"].double()}), "is float64, expected float32"),
        (lambda t: t.update({"update/values": t["update/values"].int()}), "is int32, expected float32"),
        (lambda t: t.update({"update/values": torch.zeros(4)}), "has shape [4], expected [5]"),
        (lambda t: t.update({"update/values": torch.zeros(5, 1)}), "has shape [5, 1], expected [5]"),
    ],
)
def test_tensors_that_are_not_what_the_header_says_are_refused(change, reason):
    assert reason in refused(with_tensors(change))


def test_a_payload_that_is_no_safetensors_is_refused():
    header, payload = taken_apart(encode(MESSAGE))
    for wrong in (payload[:-1], payload + b"\0", b"\x05" + b"\0" * 60):
        assert "its tensors cannot be read" in refused(put_together(header, wrong))
    for wrong in (b"", b"\0" * 2):
        assert "a layout has more values than the message can hold" in refused(put_together(header, wrong))
    assert "its payload has more tensors than are allowed" in refused(put_together(header, b"\xff" * 64))


def test_a_message_larger_than_allowed_is_refused_unread():
    data = MAGIC + b"\0" * (1 << 20)
    assert "1048584 bytes, at most 1048576 are allowed" in refused(data)


def test_an_update_with_too_large_a_norm_is_refused():
    message = encode(Message("update", 3, "clinic", {"update": STATE * 1000.0, "control": STATE}))
    assert "section 'update' has norm 3783, at most 100 is allowed" in refused(message)


def test_a_missing_and_an_uncalled_for_section_are_refused():
    assert "sections are ['update'], expected ['control', 'update']" in refused(encode(Message("update", 3, "clinic", {"update": STATE})))
    more = Message("update", 3, "clinic", {"update": STATE, "control": STATE, "rows": STATE})
    assert "sections are ['control', 'rows', 'update']" in refused(encode(more))


def test_names_that_no_log_can_write_are_refused_in_words_that_it_can():
    for name in ("\ud800", "two\nlines", "x" * 100_000):
        reason = refused(changed(sections={name: 7}))
        assert len(reason) < 400
        reason = refused(changed(layouts=[[["a", [3]], ["b", [1, 2]], [name, [1]]]]))
        assert len(reason) < 400


def test_a_header_bomb_is_refused_before_it_is_inflated():
    packed = zlib.compress(b'{"kind": "' + b"a" * (MAX_HEADER + 10), 1)
    assert len(packed) < 1 << 20
    assert "not whole, or larger than is allowed" in refused(OPENING + struct.pack("<I", len(packed)) + packed)


HUGE = int("9" * 308)
HOSTILE = {
    "a product that takes minutes": {"layouts": [[["a", [HUGE] * 5000], ["b", [1, 2]]]]},
    "many dimensions of one": {"layouts": [[["a", [1] * 100_000], ["b", [1, 2]]]]},
    "a million layouts": {"layouts": [[]] * 200_000},
    "a million tensors": {"layouts": [[["a", [3]]] * 60_000]},
    "sizes that no machine has": {"layouts": [[[f"t{i}", [10**9]] for i in range(2000)]]},
    "sizes that are no numbers": {"layouts": [[["a", ["3"]], ["b", [1, 2]]]]},
    "sizes that are true": {"layouts": [[["a", [True]], ["b", [1, 2]]]]},
    "shapes that are texts": {"layouts": [[["a", "333"], ["b", [1, 2]]]]},
    "names that are lists": {"layouts": [[[["a"], [3]], ["b", [1, 2]]]]},
    "pairs of one": {"layouts": [[["a"], ["b", [1, 2]]]]},
    "a mapping": {"layouts": [{"a": [3]}]},
    "numbers": {"report": {f"n{i}": 1 for i in range(600_000)}},
    "a list of numbers": {"body": [1] * 600_000},
}


@pytest.mark.parametrize("expected", [EXPECTED, Expected("update", 3, "clinic")], ids=["known", "unknown"])
@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_header_is_refused_at_once_and_without_memory(name, expected):
    data = changed(**HOSTILE[name])
    tracemalloc.start()
    begin = time.perf_counter()
    with pytest.raises(RefusedMessageError):
        decode(data, expected)
    assert time.perf_counter() - begin < 5
    assert tracemalloc.get_traced_memory()[1] < 64 << 20
    tracemalloc.stop()


@pytest.mark.parametrize("error", [MemoryError, RuntimeError, KeyError, OverflowError, AttributeError])
def test_whatever_a_message_causes_it_is_refused(monkeypatch, error):
    def fails(*_):
        raise error("a secret")

    monkeypatch.setattr(fedloom.federation.messages, "_split", fails)
    said = refused(encode(MESSAGE))
    assert f"it cannot be read ({error.__name__})" in said
    assert "secret" not in said
    with pytest.raises(RefusedMessageError, match=error.__name__):
        peek(encode(MESSAGE))


@pytest.mark.parametrize("codec", ["fp32", "bf16", "int8", "nf4"])
def test_huge_claimed_shapes_allocate_nothing(codec):
    claimed = changed(layouts=[[["a", [10**9, 10**9]]]], codec=codec)
    tracemalloc.start()
    begin = time.perf_counter()
    refused(claimed, Expected("update", 3, "clinic"))
    refused(claimed)
    assert tracemalloc.get_traced_memory()[1] < 1 << 20
    assert time.perf_counter() - begin < 5
    tracemalloc.stop()


@settings(deadline=None, max_examples=300)
@given(data=st.data(), codec=st.sampled_from(["fp32", "bf16", "int8", "nf4"]))
def test_any_cut_is_refused(data, codec):
    whole = encode(MESSAGE, codec)
    refused(whole[: data.draw(st.integers(0, len(whole) - 1))])


@settings(deadline=None, max_examples=500)
@given(data=st.data(), codec=st.sampled_from(["fp32", "bf16", "int8", "nf4"]))
def test_any_flipped_byte_is_refused_or_changes_nothing(data, codec):
    whole = encode(MESSAGE, codec)
    place, mask = data.draw(st.integers(0, len(whole) - 1)), data.draw(st.integers(1, 255))
    damaged = bytearray(whole)
    damaged[place] ^= mask
    with contextlib.suppress(RefusedMessageError):
        assert same(decode(bytes(damaged), EXPECTED), decode(whole, EXPECTED))


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters(), max_size=6),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=8,
)


@settings(deadline=None, max_examples=300)
@given(
    key=st.sampled_from(["kind", "federation", "round", "client", "codec", "layouts", "sections", "report", "body", "sha256"]),
    value=json_values,
)
def test_a_header_with_anything_in_it_ends_in_a_message_or_a_refusal(key, value):
    header, payload = taken_apart(encode(MESSAGE))
    try:
        decode(put_together(header | {key: value}, payload, rehash=False), EXPECTED)
    except RefusedMessageError as refusal:
        str(refusal).encode()
    try:
        decode(put_together(header | {key: value}, payload, rehash=False), Expected("update", 3, "clinic"))
    except RefusedMessageError as refusal:
        str(refusal).encode()


@settings(deadline=None, max_examples=200)
@given(st.binary(max_size=200))
def test_any_bytes_behind_the_magic_are_refused(data):
    refused(MAGIC + data)


RECORDS = {
    "conversation": lambda provenance: Conversation((Turn("user", "a secret"), Turn("assistant", "kept")), provenance),
    "document": lambda provenance: Document("a secret", provenance),
    "picture": lambda provenance: Picture(np.zeros((2, 2, 1), np.uint8), "a secret", provenance),
    "capture": lambda provenance: Capture((View(Path("a secret"), camera()),), provenance),
}


@pytest.mark.parametrize("provenance", list(Provenance))
@pytest.mark.parametrize("where", ["section", "report", "nested", "body"])
@pytest.mark.parametrize("kind", RECORDS)
def test_a_record_has_no_way_into_a_message(kind, provenance, where):
    record = RECORDS[kind](provenance)
    sections, report, body = {
        "section": ({"update": record}, {}, None),
        "report": ({}, {"row": record}, None),
        "nested": ({}, {"rows": [{"r": (record,)}]}, None),
        "body": ({}, {}, record),
    }[where]
    with pytest.raises(PrivateDataError) as caught:
        Message("update", 1, "clinic", sections, report, body=body)
    assert "secret" not in str(caught.value)
    assert isinstance(caught.value, FedloomError)


@pytest.mark.parametrize("value", ["any text", True, None, [1], b"bytes"])
def test_a_report_holds_numbers_and_nothing_else(value):
    with pytest.raises(PrivateDataError, match="a number in the report of a message is a"):
        Message("update", 1, "clinic", {}, {"note": value})


@pytest.mark.parametrize("key", ["free text", "Müller", "a\nb", "", "x" * 65, "Upper"])
def test_the_names_in_a_report_are_short_names_and_no_text(key):
    with pytest.raises(PrivateDataError, match="has no short name"):
        Message("update", 1, "clinic", {}, {key: 1.0})


def test_a_message_names_its_run_its_federation_and_its_terms():
    envelope = Envelope("ab" * 16, "local-0", "cd" * 32)
    data = encode(Message("update", 3, "clinic", {"update": STATE}, {"loss": 0.5}, envelope))
    assert peek(data) == ("update", 3, envelope)
    assert decode(data, Expected("update", 3, "clinic", envelope)).envelope == envelope
    assert "federation is 'local-0', expected 'local-1'" in refused(
        data, Expected("update", 3, "clinic", Envelope("ab" * 16, "local-1", "cd" * 32))
    )


def test_messages_of_equal_content_have_equal_lengths_in_all_runs():
    lengths = {len(encode(Message("update", 3, "clinic", {}, {}, Envelope(run)))) for run in ("0" * 32, "9f" * 16, "0123456789abcdef" * 2)}
    assert len(lengths) == 1


def test_a_message_of_an_older_version_is_read_as_a_file_and_refused_in_a_run():
    header, payload = taken_apart(encode(MESSAGE))
    for key in ("federation", "body"):
        del header[key]
    packed = zlib.compress(json.dumps(header).encode())
    old = b"FEDLOOM1" + struct.pack("<I", len(packed)) + packed + payload
    assert same(decode(old, EXPECTED), MESSAGE)
    assert "it belongs to another run" in refused(old, Expected("update", 3, "clinic", Envelope("ab" * 16)))


def test_a_client_that_meets_a_layout_for_the_first_time_takes_it():
    assert decode(encode(MESSAGE), Expected("update", 3, "clinic")).sections["update"].layout == Layout((("a", (3,)), ("b", (1, 2))))
