"""Tasks of lm-evaluation-harness, built with local copies of their data or with what the hub's cache holds."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import lm_eval.tasks
from lm_eval.api.metrics import mean
from lm_eval.tasks import TaskManager

from fedloom.errors import DataError, FedloomError, RecipeError
from fedloom.evaluation.harness import quiet, standing_in
from fedloom.evaluation.harness_data import Parts, Wanted, holds, splits
from fedloom.evaluation.sandbox import CodeEval
from fedloom.registry import nearest

FOLDER = Path(lm_eval.tasks.__file__).parent

CODE = ("lm_eval.tasks.humaneval.utils", "lm_eval.tasks.mbpp.utils")
"""Modules of the harness that take hold of the metric which runs programs when they are imported."""


@dataclass(frozen=True)
class Order:
    """What is wanted of the harness. `suite` is what errors begin with. `names` are tasks, groups or tags, which are looked for in `folder`
    first. `data` and `shots` are as the user gave them, `columns` what the data must hold, `part` the column that says which part of a set
    in parts a row is of. With `runs_code` tasks may run programs, in the sandbox.
    """

    suite: str
    names: Sequence[str]
    folder: Path | None = None
    data: str | None = None
    shots: int | None = None
    columns: Mapping[str, str] = field(default_factory=dict)
    runs_code: bool = False
    part: str | None = None


def built(order: Order) -> dict[str, Any]:
    """Name -> task, of the tasks in `order`. Raises DataError for data that does not fit, RecipeError for what there is not."""
    with quiet(), _sandboxed() if order.runs_code else contextlib.nullcontext():
        manager = _manager(order)
        leaves = [leaf for name in order.names for leaf in _leaves(manager, name, order)]
        parts = _parts(order, manager, leaves)
        tasks = {name: _built(order, manager, name, changes, parts) for name, changes in leaves}
    found = {name: task for name, task in tasks.items() if task is not None}
    if not found:
        raise DataError(f"{order.data}: holds no row of the parts that are asked; see its column '{order.part}'")
    return found


def plain_means(tasks: Mapping[str, Any]) -> dict[str, bool]:
    """Measure -> whether high is better, of those that are means over rows; others, such as perplexity, cannot be had from rows alone."""
    found = {}
    for task in tasks.values():
        better = task.higher_is_better()
        found.update({name: bool(better.get(name, True)) for name, combined in task.aggregation().items() if combined is mean})
    return found


def means_of_tasks(order: Order) -> bool:
    """Whether the harness takes, of a group, the mean of its tasks' means, and not that of all rows."""
    with quiet():
        index = _manager(order).task_index
    listed = [one for name in order.names if name in index for one in (index[name].cfg or {}).get("aggregate_metric_list") or []]
    return any(not one.get("weight_by_size", True) for one in listed)


def _manager(order: Order) -> Any:
    """The tasks in the order's folder, or those and all of the harness: to read these takes ten seconds."""
    if order.folder is None:
        return TaskManager()
    if not order.folder.is_dir():
        raise RecipeError(f"{order.suite}.include_path: {order.folder} is no folder")
    near = TaskManager(include_path=str(order.folder), include_defaults=False)
    return near if all(name in near.task_index for name in order.names) else TaskManager(include_path=str(order.folder))


def _leaves(manager: Any, name: str, order: Order) -> Iterator[tuple[str, dict[str, Any]]]:
    """(task, what a group changes of it) of all tasks that `name` stands for."""
    entry = manager.task_index.get(name)
    if entry is None:
        raise RecipeError(f"{order.suite}: lm-evaluation-harness has no task '{name}'{_like(name, manager)}")
    members = sorted(entry.tags) if entry.kind.name == "TAG" else (entry.cfg or {}).get("task")
    if not isinstance(members, list):
        yield name, {}
        return
    for member in members:
        changes = {"task": member} if isinstance(member, str) else member
        if not isinstance(changes.get("task"), str):
            raise RecipeError(f"{order.suite}: the group '{name}' defines tasks of its own; name one that it has")
        yield from ((leaf, {**changes, **own, "task": leaf}) for leaf, own in _leaves(manager, changes["task"], order))


def _parts(order: Order, manager: Any, leaves: Sequence[tuple[str, Mapping[str, Any]]]) -> Parts | None:
    """How rows of a file are shared among tasks that read different sets; None where all read one."""
    read = {_set_of(_config(manager, name, changes)) for name, changes in leaves}
    sets, there = {path for path, _ in read}, {_set_of(entry.cfg or {}) for entry in manager.task_index.values()}
    return Parts(order.part, {part for path, part in read | there if part and path in sets}) if len(read) > 1 else None


def _set_of(config: Mapping[str, Any]) -> tuple[Any, Any]:
    """The set that a task reads, and the part of it."""
    return config.get("dataset_path"), config.get("dataset_name")


def _config(manager: Any, name: str, changes: Mapping[str, Any]) -> dict[str, Any]:
    return {**(manager.task_index[name].cfg or {}), **changes}


def _built(order: Order, manager: Any, name: str, changes: Mapping[str, Any], parts: Parts | None) -> Any:
    """The task; None where the user's data has no row of its part."""
    config = _config(manager, name, changes)
    if config.get("unsafe_code") and not order.runs_code:
        raise RecipeError(f"{order.suite}: '{name}' runs programs of the model; of such tasks there are the suites humaneval and mbpp")
    shots = _shots(order, name, config)
    examples = _example_split(order, name, config) if shots else None
    wanted = Wanted(config.get("dataset_name"), _asked_split(config), examples, order.columns, parts)
    if order.data is not None and parts and not holds(order.data, wanted):
        return None
    task = _loaded(order, manager, {**changes, "task": name, **_held(order, config, wanted)}, config)
    task.set_config("num_fewshot", shots)
    if shots and len(task.sampler.df) - (wanted.examples == wanted.asked) < shots:
        raise RecipeError(f"{order.suite}.shots: there are {len(task.sampler.df)} rows for examples of '{name}', too few for {shots}")
    return task


def _held(order: Order, config: Mapping[str, Any], wanted: Wanted) -> dict[str, Any]:
    """What puts the user's data in the place of the hub's; nothing where none was given."""
    if order.data is None:
        return {}
    if "class" in config:
        raise RecipeError(f"{order.suite}.data: '{config['task']}' reads its data by a program of its own; leave data out")
    held = splits(order.data, wanted, _split_names(config))
    return {"custom_dataset": lambda **_: held}


def _loaded(order: Order, manager: Any, changes: Mapping[str, Any], config: Mapping[str, Any]) -> Any:
    try:
        (task,) = manager.load([{"group": "fedloom", "task": [changes]}])["tasks"].values()
        return task
    except FedloomError:
        raise
    except ImportError as error:
        raise RecipeError(f"{order.suite}: '{changes['task']}' needs more than is installed ({_first_line(error)})") from None
    except Exception as error:  # noqa: BLE001 - a task is a program, of the harness or the user, and may raise anything
        raise _misfit(order, changes["task"], config, error) from None


def _misfit(order: Order, task: str, config: Mapping[str, Any], error: Exception) -> FedloomError:
    subset = f" ({config['dataset_name']})" if config.get("dataset_name") else ""
    source = f"hub:{config.get('dataset_path')}{subset}"
    if order.data is not None:
        return DataError(f"{order.data}: does not fit the task '{task}' ({_first_line(error)}); give a copy of {source}")
    columns = f" with the columns {', '.join(order.columns)}" if order.columns else ""
    return RecipeError(
        f"{order.suite}.data: name a file or folder{columns}, a copy of {source}: the hub's cache does not hold it, and nothing is fetched"
    )


def _first_line(error: Exception) -> str:
    return f"{type(error).__name__}: {str(error).strip().partition(chr(10))[0][:160]}"


def _shots(order: Order, name: str, config: Mapping[str, Any]) -> int:
    own = config.get("num_fewshot")
    if order.shots and own == 0:
        raise RecipeError(f"{order.suite}.shots: '{name}' is asked without examples; leave shots out")
    return int(own or 0) if order.shots is None else order.shots


def _split_names(config: Mapping[str, Any]) -> list[str]:
    examples = (config.get("fewshot_config") or {}).get("split") or config.get("fewshot_split")
    named = [config.get(f"{kind}_split") for kind in ("training", "validation", "test")]
    return [split for split in [*named, examples] if split]


def _asked_split(config: Mapping[str, Any]) -> str:
    return config.get("test_split") or config.get("validation_split") or "test"


def _example_split(order: Order, name: str, config: Mapping[str, Any]) -> str | None:
    """Where the harness takes examples from; None where the task brings its own."""
    settings = config.get("fewshot_config") or {}
    if chosen := settings.get("split") or config.get("fewshot_split"):
        return str(chosen)
    if settings.get("samples"):
        return None
    chosen = config.get("training_split") or config.get("validation_split")
    if not chosen or chosen == _asked_split(config):
        raise RecipeError(f"{order.suite}.shots: '{name}' has no rows for examples beside those that are asked; leave shots out")
    return str(chosen)


@contextlib.contextmanager
def _sandboxed() -> Iterator[None]:
    """Tasks that are built in the block run programs in the sandbox."""
    import evaluate

    for module in CODE:
        sys.modules.pop(module, None)
    with standing_in(evaluate, "load", lambda name, *_, **__: CodeEval()):
        yield


def _like(name: str, manager: Any) -> str:
    """The name that is nearest; there are thousands."""
    suggestion = nearest(name, manager.task_index)
    return suggestion if suggestion.startswith("; did") else ""
