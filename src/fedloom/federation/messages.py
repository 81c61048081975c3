"""Messages: the only thing that crosses between parties. A JSON header and tensors in safetensors, never pickle, never text of an example.

    8 bytes   b"FEDLOOM2"
    16 bytes  the run, 32 bytes the hash of the terms: fixed, so that messages of equal content have equal lengths in all runs
    4 bytes   length of the header, little endian
    header    JSON, deflated: kind, federation, round, client, codec, layouts, sections, report, body, hash of the payload
    payload   safetensors: the coded tensors `section/part`

Everything that a receiver relies on is checked before it is used, and a message that fails is refused with the reason.
"""

from __future__ import annotations

import hashlib
import json
import math
import re
import struct
import zlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor

from fedloom.errors import PrivateDataError, RefusedMessageError
from fedloom.federation.bodies import BODIES, Body, check_name, checked_numbers, one_line
from fedloom.federation.codec import Codec, check_parts, codecs
from fedloom.state import Layout, State

MAGIC, OLD_MAGIC = b"FEDLOOM2", b"FEDLOOM1"
"""Checkpoints of older runs begin with OLD_MAGIC: they name no run and no terms. A message on the wire may not."""
MAX_HEADER = 16 << 20
"""Bytes that a header may have when inflated: room for a model of many thousand tensors, no room for a bomb."""
MAX_SECTIONS = 16
MAX_LISTS = 250_000
"""Lists and objects in a header: two for each tensor of a layout."""
MAX_VALUES = 500_000
"""Values in a header."""
MAX_DIMENSIONS, MAX_SIZE = 8, 1 << 40
"""Dimensions of a tensor, and the values along one."""
HEADER_ALLOWANCE = 64 << 10
"""Bytes of a header beside its layouts, where the receiver knows these."""

FILES = ("checkpoint", "memory")
"""Kinds that are written to a disk of this program's own and never sent: their reports may have any key, such as a client's name."""
FEDERATION = re.compile(r"|[A-Za-z0-9_][A-Za-z0-9_.-]{0,63}")
"""What a federation may be called: sites make a folder of that name."""


@dataclass(frozen=True)
class Envelope:
    """Which conversation a message belongs to: the `run` (32 hex digits), the `federation` in it (the run's own, or a baseline's), and the
    hash of the terms that both sides have `agreed` on (64 hex digits)."""

    run: str = "0" * 32
    federation: str = ""
    agreed: str = "0" * 64


NO_ENVELOPE = Envelope()
"""That of a file."""


@dataclass(frozen=True)
class Message:
    """One message. `sections` are States by name, `report` numbers (examples, steps, losses), `body` what its kind allows beside them."""

    kind: str
    round: int
    client: str
    sections: Mapping[str, State] = field(default_factory=dict)
    report: Mapping[str, float] = field(default_factory=dict)
    envelope: Envelope = NO_ENVELOPE
    body: Body | None = None

    def __post_init__(self) -> None:
        for key, value in self.report.items():
            _check_number(self.kind, key, value)
        for name, state in self.sections.items():
            if not isinstance(state, State):
                raise PrivateDataError(f"section '{name}' of a message is a {type(state).__name__}; only tensors may leave a client")
        if self.body is not None and type(self.body) is not BODIES.get(self.kind):
            raise PrivateDataError(f"a {type(self.body).__name__} was put into a message of kind {self.kind}, which may not hold one")

    def number(self, name: str, least: float = 0.0, most: float = math.inf) -> float:
        """The number `name` of the report. Raises RefusedMessageError when it is missing or out of bounds."""
        value = self.report.get(name)
        if value is None or not least <= value <= most:
            raise RefusedMessageError(f"message of client '{self.client}' refused: its report has no valid '{name}'")
        return float(value)

    def section(self, name: str) -> State:
        """The section `name`. Raises RefusedMessageError when it is missing."""
        if name not in self.sections:
            raise RefusedMessageError(f"message of client '{self.client}' refused: it has no section '{name}'")
        return self.sections[name]


@dataclass(frozen=True)
class Expected:
    """What a receiver will take. `None` means: no check (a client that meets a layout for the first time)."""

    kind: str
    round: int
    client: str
    envelope: Envelope = NO_ENVELOPE
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
        "federation": message.envelope.federation,
        "round": message.round,
        "client": message.client,
        "codec": codec,
        "layouts": [layout.entries for layout in layouts],
        "sections": sections,
        "report": dict(message.report),
        "body": None if message.body is None else message.body.plain(),
        "sha256": hashlib.sha256(payload).hexdigest(),
    }
    packed = zlib.compress(json.dumps(header).encode())
    opening = [MAGIC, bytes.fromhex(message.envelope.run), bytes.fromhex(message.envelope.agreed)]
    return b"".join([*opening, struct.pack("<I", len(packed)), packed, payload])


def peek(data: bytes) -> tuple[str, int, Envelope]:
    """The kind, round and envelope that `data` claims. Raises RefusedMessageError when there is no header to be read."""
    try:
        header, _ = _split(data, MAX_HEADER)
    except RefusedMessageError:
        raise
    except Exception as error:  # noqa: BLE001 - whatever a hostile message causes, it is refused
        raise RefusedMessageError(f"it cannot be read ({type(error).__name__})") from None
    return header["kind"], header["round"], header["envelope"]


def claims(data: bytes, kind: str) -> bool:
    """Whether `data` has a readable header of this kind."""
    try:
        return peek(data)[0] == kind
    except RefusedMessageError:
        return False


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
        reason = one_line(str(refusal))
    except Exception as error:  # noqa: BLE001 - whatever a hostile message causes, it is refused
        reason = f"it cannot be read ({type(error).__name__})"
    raise RefusedMessageError(f"message of client '{expected.client}' refused: {reason}")


def _decode(data: bytes, expected: Expected) -> Message:
    if expected.max_bytes is not None and len(data) > expected.max_bytes:
        raise RefusedMessageError(f"{len(data)} bytes, at most {expected.max_bytes} are allowed")
    header, payload = _split(data, _largest_header(expected))
    for key in ("kind", "round", "client"):
        if header[key] != getattr(expected, key):
            raise RefusedMessageError(f"{key} is {header[key]!r}, expected {getattr(expected, key)!r}")
    _check_envelope(header["envelope"], expected.envelope)
    if hashlib.sha256(payload).hexdigest() != header["sha256"]:
        raise RefusedMessageError("the payload does not have the hash that its header gives")
    _check_sections(header)
    codec = _codec(header)
    used_by = {index: name for name, index in header["sections"].items()}
    layouts = [_layout(entries, used_by[index], expected.layout, len(payload)) for index, entries in enumerate(header["layouts"])]
    parts = _parts(payload, header["kind"] in FILES)
    sections = {name: _section(name, parts.pop(name, {}), layouts[index], codec, expected) for name, index in header["sections"].items()}
    if parts:
        raise RefusedMessageError(f"tensors that belong to no section: {sorted(parts)[:3]}")
    if expected.sections is not None and set(sections) != expected.sections:
        raise RefusedMessageError(f"sections are {sorted(sections)}, expected {sorted(expected.sections)}")
    try:
        report, body = checked_numbers(header["report"]), _body(header)
        return Message(header["kind"], header["round"], header["client"], sections, report, header["envelope"], body)
    except PrivateDataError as error:
        raise RefusedMessageError(str(error)) from None


def _check_sections(header: dict[str, Any]) -> None:
    """Refuse sections without a layout, layouts without a section, and more of them than any message has, before a layout is read."""
    layouts, sections = header["layouts"], header["sections"]
    if len(sections) > MAX_SECTIONS and header["kind"] not in FILES:
        raise RefusedMessageError(f"it has {len(sections)} sections, at most {MAX_SECTIONS} are allowed")
    for name, index in sections.items():
        if isinstance(index, bool) or not isinstance(index, int) or not 0 <= index < len(layouts):
            raise RefusedMessageError(f"section '{name}' has no layout")
    if len(layouts) > len(set(sections.values())):
        raise RefusedMessageError("it has a layout that no section uses")


def _check_envelope(found: Envelope, expected: Envelope) -> None:
    if found.federation != expected.federation:
        raise RefusedMessageError(f"federation is {found.federation!r}, expected {expected.federation!r}")
    for key in ("run", "agreed"):
        if getattr(found, key) != getattr(expected, key):
            what = "it belongs to another run" if key == "run" else "its sender has agreed on other terms"
            raise RefusedMessageError(f"{what} ({getattr(found, key)[:8]}, expected {getattr(expected, key)[:8]})")


def _body(header: dict[str, Any]) -> Body | None:
    """The body of the type that the kind allows, or none. Raises RefusedMessageError for a body where none may be."""
    if header["body"] is None:
        return None
    if header["kind"] not in BODIES:
        raise RefusedMessageError("it has a body, which its kind may not have")
    return BODIES[header["kind"]].read(header["body"])


def _largest_header(expected: Expected) -> int:
    """Bytes of the largest header that the expected message can have: where its layout is known, as many as that needs."""
    if expected.layout is None or expected.sections is None:
        return MAX_HEADER
    needed = sum(len(json.dumps(name)) + 24 * (len(shape) + 1) for name, shape in expected.layout.entries)
    return min(MAX_HEADER, HEADER_ALLOWANCE + needed * len(expected.sections))


def _split(data: bytes, largest: int) -> tuple[dict[str, Any], memoryview]:
    """The header, of at most `largest` bytes, with the envelope in it, and the payload."""
    old = data[: len(OLD_MAGIC)] == OLD_MAGIC
    if not old and data[: len(MAGIC)] != MAGIC:
        raise RefusedMessageError("it is not a message of this program or of another version")
    named = len(MAGIC) if old else len(MAGIC) + 48
    start = named + 4
    if len(data) < start:
        raise RefusedMessageError("it is cut off in its header")
    (length,) = struct.unpack("<I", data[named:start])
    if len(data) < start + length:
        raise RefusedMessageError("it is cut off in its header")
    inflate = zlib.decompressobj()
    try:
        text = inflate.decompress(data[start : start + length], largest)
        if not inflate.eof:
            raise RefusedMessageError("its header is not whole, or larger than is allowed")
        if text.count(b"[") + text.count(b"{") > MAX_LISTS or text.count(b",") > MAX_VALUES:
            raise RefusedMessageError("its header has more parts than are allowed")
        header = json.loads(text)
    except (zlib.error, ValueError, RecursionError):
        raise RefusedMessageError("its header cannot be read") from None
    if old and isinstance(header, dict):
        header |= {"federation": "", "body": None}
    kinds = {
        "kind": str, "federation": str, "round": int, "client": str, "codec": str, "layouts": list, "sections": dict, "report": dict,
        "sha256": str,
    }  # fmt: skip
    for key, kind in kinds.items():
        if not isinstance(header, dict) or not isinstance(header.get(key), kind) or isinstance(header[key], bool):
            raise RefusedMessageError(f"its header has no '{key}'")
    if set(header) - set(kinds) - {"body"}:
        raise RefusedMessageError("its header has a key that no message has")
    if not FEDERATION.fullmatch(header["federation"]):
        raise RefusedMessageError(f"its federation has the name {one_line(header['federation'])!r}; a name has letters, digits, _ . and -")
    run, agreed = ("0" * 32, "0" * 64) if old else (data[named - 48 : named - 32].hex(), data[named - 32 : named].hex())
    return header | {"envelope": Envelope(run, header["federation"], agreed), "body": header.get("body")}, memoryview(data)[
        start + length :
    ]


def _codec(header: dict[str, Any]) -> Codec:
    if header["codec"] not in codecs:
        raise RefusedMessageError(f"codec {header['codec']!r} is unknown")
    return codecs.get(header["codec"])


def _layout(entries: Any, section: str, expected: Layout | None, payload: int) -> Layout:
    """The layout of `section`, from a header whose payload has `payload` bytes. It is checked before anything is computed from it."""
    if not isinstance(entries, list):
        raise RefusedMessageError("a layout cannot be read")
    for entry in entries:
        if not isinstance(entry, list) or len(entry) != 2 or not isinstance(entry[0], str) or not isinstance(entry[1], list):
            raise RefusedMessageError("a layout cannot be read")
        if not _is_shape(entry[1]):
            raise RefusedMessageError("a layout has a shape with a size that is no number, negative or too large, or too many dimensions")
    layout = Layout(tuple((name, tuple(shape)) for name, shape in entries))
    if len({name for name, _ in layout.entries}) != len(layout.entries):
        raise RefusedMessageError("a layout has a name twice")
    if expected is not None and (problem := expected.difference(layout)):
        raise RefusedMessageError(f"section '{section}': {problem}")
    if layout.numel > 2 * payload:  # no codec writes a value in less than half a byte
        raise RefusedMessageError("a layout has more values than the message can hold")
    return layout


def _is_shape(shape: list[Any]) -> bool:
    return len(shape) <= MAX_DIMENSIONS and all(
        isinstance(size, int) and not isinstance(size, bool) and 0 <= size <= MAX_SIZE for size in shape
    )


def _parts(payload: memoryview, is_file: bool) -> dict[str, dict[str, Tensor]]:
    """section -> part -> tensor. A message has few tensors, one or two for each section; a file has as many as there are states."""
    if not is_file and len(payload) >= 8 and struct.unpack("<Q", payload[:8])[0] > HEADER_ALLOWANCE:
        raise RefusedMessageError("its payload has more tensors than are allowed")
    try:
        tensors = load(bytes(payload))
    except (SafetensorError, ValueError, KeyError, RuntimeError):
        raise RefusedMessageError("its tensors cannot be read; the payload is cut off or damaged") from None
    parts: dict[str, dict[str, Tensor]] = {}
    for key, tensor in tensors.items():
        section, _, part = key.rpartition("/") if "/" in key else (key, "", "")
        parts.setdefault(section, {})[part] = tensor
    return parts


def _section(name: str, parts: dict[str, Tensor], layout: Layout, codec: Codec, expected: Expected) -> State:
    check_parts(codec, parts, layout.numel)
    state = State(layout, codec.decode(parts, layout.numel))
    norm = state.norm()
    if not math.isfinite(norm) and not bool(torch.isfinite(state.flat).all()):
        raise RefusedMessageError(f"section '{name}' holds values that are not finite")
    if expected.max_norm is not None and norm > expected.max_norm:
        raise RefusedMessageError(f"section '{name}' has norm {norm:.4g}, at most {expected.max_norm:.4g} is allowed")
    return state


def _check_number(kind: str, key: str, value: Any) -> None:
    """Raise PrivateDataError for anything but a number under a name that this program would write: no text may cross in a report."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise PrivateDataError(f"a number in the report of a message is a {type(value).__name__}; a report holds numbers")
    if kind not in FILES:
        check_name(key)
