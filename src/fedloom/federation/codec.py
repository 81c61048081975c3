"""Codecs: how the values of a State are written on the wire.

A codec turns a flat fp32 vector into a few small tensors and back. What it loses is not lost for good: the sender keeps the difference
and adds it to its next message (`with_feedback`), which is error feedback (Seide et al. 2014; Karimireddy et al. 2019, Algorithm 1).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Protocol

import torch
from torch import Tensor

from fedloom.errors import RefusedMessageError
from fedloom.registry import Registry
from fedloom.state import State

_CHUNK = 1 << 20
"""Values coded at a time: temporaries stay in the cache and small beside the payload. A multiple of every block length."""


class Codec(Protocol):
    """`parts` names the coded tensors: name -> (dtype, number of elements for a vector of n values)."""

    def parts(self, n: int) -> dict[str, tuple[torch.dtype, int]]: ...

    def encode(self, flat: Tensor) -> dict[str, Tensor]: ...

    def decode(self, tensors: Mapping[str, Tensor], n: int) -> Tensor: ...


codecs: Registry[Codec] = Registry("codec")


class Cast:
    """Every value as it is, in one float type."""

    def __init__(self, dtype: torch.dtype) -> None:
        self.dtype = dtype

    def parts(self, n: int) -> dict[str, tuple[torch.dtype, int]]:
        return {"values": (self.dtype, n)}

    def encode(self, flat: Tensor) -> dict[str, Tensor]:
        return {"values": flat.to(self.dtype)}

    def decode(self, tensors: Mapping[str, Tensor], n: int) -> Tensor:
        return tensors["values"].to(torch.float32)


class Int8:
    """Blocks of 256 values, each value as round(127 x / absmax), the scale absmax / 127 of a block in bf16: 8.06 bits a value."""

    block = 256

    def parts(self, n: int) -> dict[str, tuple[torch.dtype, int]]:
        return {"values": (torch.int8, n), "scales": (torch.bfloat16, -(-n // self.block))}

    def encode(self, flat: Tensor) -> dict[str, Tensor]:
        values, scales = [], []
        for chunk in _chunks(flat):
            blocks = _blocks(chunk, self.block)
            scale = (blocks.abs().amax(1) / 127).bfloat16()
            values.append((blocks / _nonzero(scale)).round_().clamp_(-127, 127).to(torch.int8).view(-1)[: len(chunk)])
            scales.append(scale)
        return {"values": torch.cat(values), "scales": torch.cat(scales)}

    def decode(self, tensors: Mapping[str, Tensor], n: int) -> Tensor:
        flat = torch.empty(n)
        for i, chunk in enumerate(_chunks(flat)):
            start, scales = i * _CHUNK, tensors["scales"][i * _CHUNK // self.block :][: -(-len(chunk) // self.block)]
            blocks = _blocks(tensors["values"][start : start + len(chunk)].float(), self.block)
            chunk.copy_((blocks * scales.float()[:, None]).view(-1)[: len(chunk)])
        return flat


NF4_LEVELS = torch.tensor(
    [
        -1.0, -0.6961928009986877, -0.5250730514526367, -0.39491748809814453,
        -0.28444138169288635, -0.18477343022823334, -0.09105003625154495, 0.0,
        0.07958029955625534, 0.16093020141124725, 0.24611230194568634, 0.33791524171829224,
        0.44070982933044434, 0.5626170039176941, 0.7229568362236023, 1.0,
    ]
)  # fmt: skip
"""The 16 levels of 4-bit NormalFloat (Dettmers et al. 2023, arXiv 2305.14314, appendix E)."""


class NF4:
    """Blocks of 64 values, each value as the nearest NF4 level times the block's absmax (bf16), two values a byte: 4.25 bits a value."""

    block = 64

    def parts(self, n: int) -> dict[str, tuple[torch.dtype, int]]:
        return {"values": (torch.uint8, -(-n // 2)), "scales": (torch.bfloat16, -(-n // self.block))}

    def encode(self, flat: Tensor) -> dict[str, Tensor]:
        middles = (NF4_LEVELS[1:] + NF4_LEVELS[:-1]) / 2
        values, scales = [], []
        for chunk in _chunks(flat):
            blocks = _blocks(chunk, self.block)
            scale = blocks.abs().amax(1).bfloat16()
            codes = torch.bucketize(blocks / _nonzero(scale), middles, out_int32=True).to(torch.uint8).view(-1)
            values.append((codes[0::2] << 4 | codes[1::2])[: -(-len(chunk) // 2)])
            scales.append(scale)
        return {"values": torch.cat(values), "scales": torch.cat(scales)}

    def decode(self, tensors: Mapping[str, Tensor], n: int) -> Tensor:
        flat = torch.empty(n)
        for i, chunk in enumerate(_chunks(flat)):
            scales = tensors["scales"][i * _CHUNK // self.block :][: -(-len(chunk) // self.block)]
            packed = tensors["values"][i * _CHUNK // 2 :][: -(-len(chunk) // 2)]
            codes = torch.stack([packed >> 4, packed & 15], dim=1).view(-1)[: len(chunk)]
            blocks = _blocks(NF4_LEVELS[codes.int()], self.block)
            chunk.copy_((blocks * scales.float()[:, None]).view(-1)[: len(chunk)])
        return flat


codecs.register("fp32")(Cast(torch.float32))
codecs.register("bf16")(Cast(torch.bfloat16))
codecs.register("int8")(Int8())
codecs.register("nf4")(NF4())


def with_feedback(codec: Codec, state: State, residual: State | None) -> tuple[dict[str, Tensor], State]:
    """Code `state` plus the `residual` of the message before; gives the coded tensors and the new residual."""
    wanted = state.flat if residual is None else state.flat + residual.flat
    coded = codec.encode(wanted)
    return coded, State(state.layout, wanted - codec.decode(coded, state.layout.numel))


def check_parts(codec: Codec, tensors: Mapping[str, Tensor], n: int) -> None:
    """Refuse coded tensors whose names, dtypes or lengths are not what `codec` writes for n values."""
    expected = codec.parts(n)
    if set(tensors) != set(expected):
        raise RefusedMessageError(f"coded tensors are {sorted(tensors)}, expected {sorted(expected)}")
    for name, (dtype, length) in expected.items():
        if tensors[name].dtype != dtype:
            raise RefusedMessageError(f"coded tensor '{name}' is {_short(tensors[name].dtype)}, expected {_short(dtype)}")
        if tensors[name].shape != (length,):
            raise RefusedMessageError(f"coded tensor '{name}' has shape {list(tensors[name].shape)}, expected [{length}]")


def _short(dtype: torch.dtype) -> str:
    return str(dtype).removeprefix("torch.")


def _chunks(flat: Tensor) -> Iterator[Tensor]:
    """Views of `flat`, _CHUNK values each; one empty view for an empty vector."""
    return iter(flat.split(_CHUNK))


def _blocks(chunk: Tensor, block: int) -> Tensor:
    """`chunk` as rows of `block` values, the last one filled up with zeros."""
    return torch.nn.functional.pad(chunk, (0, -len(chunk) % block)).view(-1, block)


def _nonzero(scale: Tensor) -> Tensor:
    """Scales as a column to divide by; a block of zeros is divided by one."""
    return torch.where(scale == 0, torch.ones_like(scale), scale).float()[:, None]
