"""What a run hands out: the adapter in PEFT's format, or the whole model."""

from __future__ import annotations

from pathlib import Path

from fedloom.errors import PartError
from fedloom.federation.run_folder import RunFolder
from fedloom.files import whole_folder
from fedloom.models.adapters import WEIGHTS, save_adapter
from fedloom.models.bench import Bench
from fedloom.models.save import MODEL_WEIGHTS
from fedloom.state import State


def hand_out(bench: Bench, folder: RunFolder, state: State) -> Path:
    """Write what was trained into the run's folder; gives the file of its weights."""
    if bench.recipe.adapter is not None:
        save_adapter(state, bench.model, folder.adapter, bench.base, bench.revision)
        bench.kind.save_encoder(bench.encoder, folder.adapter)
        return folder.adapter / WEIGHTS
    bench.parameters.load(state)
    with whole_folder(folder.model) as whole:
        bench.kind.save(bench.model, bench.encoder, whole)
        if not (whole / MODEL_WEIGHTS).is_file():
            raise PartError(f"{type(bench.kind).__name__}.save should write the weights as {MODEL_WEIGHTS} into its folder")
    return folder.model / MODEL_WEIGHTS
