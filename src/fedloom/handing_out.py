"""What a run hands out: the adapter in PEFT's format, or the whole model. And the same, read back."""

from __future__ import annotations

from pathlib import Path

from fedloom.algorithms import algorithms
from fedloom.errors import ModelError, PartError
from fedloom.federation.run_folder import RunFolder
from fedloom.files import whole_folder
from fedloom.local_run import bench_plan
from fedloom.models.adapters import CONFIG, WEIGHTS, load_adapter, save_adapter
from fedloom.models.bench import Bench, make_bench
from fedloom.models.save import MODEL_WEIGHTS
from fedloom.recipe import Recipe
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


def tuned_bench(recipe: Recipe, folder: RunFolder) -> Bench:
    """A bench with the run's whole model, or with its base model and the trained adapter. Raises ModelError when there is none yet."""
    adapter = recipe.model.adapter
    result = folder.adapter / CONFIG if adapter else folder.model / MODEL_WEIGHTS
    if not result.exists():
        raise ModelError(f"{folder.path}: has no {result.parent.name} yet; finish the run with `fedloom resume {folder.path}`")
    if adapter is None:
        whole = recipe.model.model_copy(update={"id": str(folder.model), "revision": None})
        return make_bench(bench_plan(recipe.model_copy(update={"model": whole})))
    bench = make_bench(bench_plan(recipe))
    bench.parameters.load(adapter_state(bench, folder))
    return bench


def leaves_parts_with_clients(recipe: Recipe) -> bool:
    """Whether what the run hands out is no whole model, since each client keeps parts of it."""
    return algorithms.get(recipe.algorithm.name).measured_with_memory


def shared_alone(recipe: Recipe, handed_out: Path) -> str:
    """What the reader of a run is told whose clients keep parts of the model."""
    return (
        f"{handed_out.parent} holds the shared parts alone: {recipe.algorithm.name} left the others with the clients, so no model was asked"
        " for samples, and none can be chatted with or evaluated"
    )


def check_whole(recipe: Recipe, place: Path) -> None:
    """Raise ModelError for the run in `place` when parts of its model are with its clients: there is no model to ask."""
    if leaves_parts_with_clients(recipe):
        raise ModelError(
            f"{place}: {recipe.algorithm.name} left parts of the model with each client, and what was handed out is without them: there is"
            " no model to ask; train with another algorithm, such as fedavg"
        )


def adapter_state(bench: Bench, folder: RunFolder) -> State:
    """The adapter that the run has handed out, as what is trained on `bench`."""
    tensors = load_adapter(folder.adapter)
    return State.of({name: tensors[name] for name, _ in bench.parameters.layout.entries})
