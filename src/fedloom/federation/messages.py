"""Messages: the only thing that crosses between parties. A JSON header and tensors in safetensors, never pickle, never text of an example.

    8 bytes  b"FEDLOOM1"
    4 bytes  length of the header, little endian
    header   JSON, deflated: kind, round, client, codec, layouts, sections, report, hash of the payload
    payload  safetensors: the coded tensors `section/part`

Everything that a receiver relies on is checked before it is used, and a message that fails is refused with the reason.
"""

from __future__ import annotations

import hashlib
import json
import struct
import sys
import zlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor

from fedloom.data.records import Conversation
from fedloom.errors import PrivateDataError, RefusedMessageError
from fedloom.federation.codec import Codec, check_parts, codecs
from fedloom.state import Layout, State

MAGIC = b"FEDLOOM1"
MAX_HEADER = 64 << 20
"""Bytes that a header may have when inflated: room for a model of a million tensors, no room for a bomb."""
MAX_REASON = 300
"""Letters of a refusal's reason that are kept."""

Scalar = float | int | str


@dataclass(frozen=True)
class Message:
    """One message. `sections` are States by name, `report` plain scalars (examples, steps, losses)."""

    kind: str
    round: int
    client: str
    sections: Mapping[str, State] = field(default_factory=dict)
    report: Mapping[str, Scalar] = field(default_factory=dict)

    def __post_init__(self) -> None:
        _refuse_text(self.report)
        _refuse_text(self.sections)


@dataclass(frozen=True)
class Expected:
    """What a receiver will take. `None` means: no check (a client that meets a layout for the first time)."""

    kind: str
    round: int
    client: str
    layout: Layout | None = None
    sections: frozenset[str] | None = None
    max_bytes: int | None = None
    max_norm: float | None = None


def encode(message: Message, codec: str = "fp32", coded: Mapping[str, Mapping[str, Tensor]] | None = None) -> bytes:
    """The bytes of `message`. `coded` holds sections that are coded already (with error feedback)."""
    coder, coded = codecs.get(codec), coded or {}
    layouts: list[Layout] = []
    sections, tensors = {}, {}
    for name, state in message.sections.items():
        if state.layout not in layouts:
            layouts.append(state.layout)
        sections[name] = layouts.index(state.layout)
        for part, tensor in (coded.get(name) or coder.encode(state.flat)).items():
            tensors[f"{name}/{part}"] = tensor.contiguous()
    _part_shared_memory(tensors)
    payload = save(tensors)
    header = {
        "kind": message.kind,
        "round": message.round,
        "client": message.client,
        "codec": codec,
        "layouts": [layout.entries for layout in layouts],
        "sections": sections,
        "report": dict(message.report),
        "sha256": hashlib.sha256(payload).hexdigest(),
    }
    packed = zlib.compress(json.dumps(header).encode())
    return b"".join([MAGIC, struct.pack("<I", len(packed)), packed, payload])


def _part_shared_memory(tensors: dict[str, Tensor]) -> None:
    """Two sections may be one State, which safetensors does not write: copy the second."""
    seen = set()
    for name, tensor in tensors.items():
        if (memory := tensor.untyped_storage().data_ptr()) in seen:
            tensors[name] = tensor.clone()
        seen.add(memory)


def decode(data: bytes, expected: Expected) -> Message:
    """The message in `data`, checked against `expected`. Raises RefusedMessageError with the client's name and the reason."""
    try:
        return _decode(data, expected)
    except RefusedMessageError as refusal:
        raise RefusedMessageError(f"message of client '{expected.client}' refused: {_loggable(str(refusal))}") from None


def _loggable(reason: str) -> str:
    """`reason` as one short line: it may hold names that the sender chose."""
    shown = "".join(letter if letter.isprintable() else "?" for letter in reason[:MAX_REASON])
    return shown + "..." * (len(reason) > MAX_REASON)


def _decode(data: bytes, expected: Expected) -> Message:
    if expected.max_bytes is not None and len(data) > expected.max_bytes:
        raise RefusedMessageError(f"{len(data)} bytes, at most {expected.max_bytes} are allowed")
    header, payload = _split(data)
    for key in ("kind", "round", "client"):
        if header[key] != getattr(expected, key):
            raise RefusedMessageError(f"{key} is {header[key]!r}, expected {getattr(expected, key)!r}")
    if hashlib.sha256(payload).hexdigest() != header["sha256"]:
        raise RefusedMessageError("the payload does not have the hash that its header gives")
    codec, layouts = _codec(header), [_layout(entries) for entries in header["layouts"]]
    tensors = _tensors(payload)
    sections = {}
    for name, index in header["sections"].items():
        if not isinstance(index, int) or not 0 <= index < len(layouts):
            raise RefusedMessageError(f"section '{name}' has no layout")
        parts = {key.removeprefix(f"{name}/"): tensors.pop(key) for key in list(tensors) if key.startswith(f"{name}/")}
        sections[name] = _section(name, parts, layouts[index], codec, expected)
    if tensors:
        raise RefusedMessageError(f"tensors that belong to no section: {sorted(tensors)[:3]}")
    if expected.sections is not None and set(sections) != expected.sections:
        raise RefusedMessageError(f"sections are {sorted(sections)}, expected {sorted(expected.sections)}")
    return Message(header["kind"], header["round"], header["client"], sections, _report(header["report"]))


def _split(data: bytes) -> tuple[dict[str, Any], memoryview]:
    if data[: len(MAGIC)] != MAGIC:
        raise RefusedMessageError("it is not a message of this program or of another version")
    start = len(MAGIC) + 4
    if len(data) < start:
        raise RefusedMessageError("it is cut off in its header")
    (length,) = struct.unpack("<I", data[len(MAGIC) : start])
    if len(data) < start + length:
        raise RefusedMessageError("it is cut off in its header")
    inflate = zlib.decompressobj()
    try:
        text = inflate.decompress(data[start : start + length], MAX_HEADER)
        if not inflate.eof:
            raise RefusedMessageError("its header is not whole, or larger than is allowed")
        header = json.loads(text)
    except (zlib.error, ValueError, RecursionError):
        raise RefusedMessageError("its header cannot be read") from None
    kinds = {"kind": str, "round": int, "client": str, "codec": str, "layouts": list, "sections": dict, "report": dict, "sha256": str}
    for key, kind in kinds.items():
        if not isinstance(header, dict) or not isinstance(header.get(key), kind):
            raise RefusedMessageError(f"its header has no '{key}'")
    return header, memoryview(data)[start + length :]


def _codec(header: dict[str, Any]) -> Codec:
    if header["codec"] not in codecs:
        raise RefusedMessageError(f"codec {header['codec']!r} is unknown")
    return codecs.get(header["codec"])


def _layout(entries: Any) -> Layout:
    try:
        layout = Layout(tuple((str(name), tuple(int(size) for size in shape)) for name, shape in entries))
    except (TypeError, ValueError, OverflowError):
        raise RefusedMessageError("a layout cannot be read") from None
    if any(size < 0 for _, shape in layout.entries for size in shape) or len(layout.slices) != len(layout.entries):
        raise RefusedMessageError("a layout has a negative size or a name twice")
    return layout


def _tensors(payload: memoryview) -> dict[str, Tensor]:
    try:
        return load(bytes(payload))
    except (SafetensorError, ValueError, KeyError, RuntimeError):
        raise RefusedMessageError("its tensors cannot be read; the payload is cut off or damaged") from None


def _section(name: str, parts: dict[str, Tensor], layout: Layout, codec: Codec, expected: Expected) -> State:
    if expected.layout is not None and (problem := expected.layout.difference(layout)):
        raise RefusedMessageError(f"section '{name}': {problem}")
    check_parts(codec, parts, layout.numel)
    state = State(layout, codec.decode(parts, layout.numel))
    if not bool(torch.isfinite(state.flat.sum())) and not bool(torch.isfinite(state.flat).all()):
        raise RefusedMessageError(f"section '{name}' holds values that are not finite")
    if expected.max_norm is not None and (norm := state.norm()) > expected.max_norm:
        raise RefusedMessageError(f"section '{name}' has norm {norm:.4g}, at most {expected.max_norm:.4g} is allowed")
    return state


def _report(report: dict[str, Any]) -> dict[str, Scalar]:
    for key, value in report.items():
        if isinstance(value, bool) or not isinstance(value, int | float | str):
            raise RefusedMessageError(f"report '{key}' is not a scalar")
        if not isinstance(value, str) and not abs(value) <= sys.float_info.max:
            raise RefusedMessageError(f"report '{key}' is not finite")
    return report


def _refuse_text(value: Any) -> None:
    """A Conversation has no way into a message, whatever it is wrapped in."""
    if isinstance(value, Conversation):
        raise PrivateDataError(f"a {value.provenance} example was put into a message; only tensors and measures may leave a client")
    if isinstance(value, Mapping):
        for item in value.values():
            _refuse_text(item)
    elif isinstance(value, list | tuple | set | frozenset):
        for item in value:
            _refuse_text(item)
