"""Write a whole model with its tokenizer: the folder holds all of it or does not exist."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path
from typing import Any

from fedloom.files import disk_errors_named
from fedloom.models.quiet import quiet

MODEL_WEIGHTS = "model.safetensors"


def save_model(model: Any, tokenizer: Any, folder: Path) -> None:
    """Write `model`, in the precision it computes in, and `tokenizer` into `folder` as transformers does; what was there is replaced.

    The weights are in one file, `MODEL_WEIGHTS`. Equal weights give equal bytes.
    """
    with disk_errors_named(folder), quiet():
        folder.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=folder.parent, prefix=f".{folder.name}-") as temporary:
            whole = Path(temporary) / folder.name
            model.save_pretrained(whole, max_shard_size="100TB")
            tokenizer.save_pretrained(whole)
            if folder.exists():
                shutil.rmtree(folder)
            whole.rename(folder)
