"""Write a whole model with its tokenizer, as transformers does."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from fedloom.files import disk_errors_named
from fedloom.models.quiet import quiet

MODEL_WEIGHTS = "model.safetensors"


def save_model(model: Any, tokenizer: Any, folder: Path) -> None:
    """Write `model`, in the precision it computes in, and `tokenizer` into `folder`.

    The weights are in one file, `MODEL_WEIGHTS`. Equal weights give equal bytes.
    """
    with quiet():
        model.save_pretrained(folder, max_shard_size="100TB")
    save_tokenizer(tokenizer, folder)


def save_tokenizer(tokenizer: Any, folder: Path) -> None:
    """Write `tokenizer`, with its chat template, into `folder`."""
    with quiet(), disk_errors_named(folder):
        tokenizer.save_pretrained(folder)
