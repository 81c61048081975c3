"""Write docs/recipe.md from the schema and the registries: `python docs/make_reference.py`."""

from __future__ import annotations

import inspect
import sys
import textwrap
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

import torch
import yaml
from pydantic import BaseModel
from pydantic.fields import FieldInfo

import fedloom.bench
import fedloom.evaluation.answers
import fedloom.evaluation.canaries
import fedloom.privacy.scrubbing
import fedloom.safety
import fedloom.synthesis  # noqa: F401 - register their parts
from fedloom.algorithms import algorithms
from fedloom.algorithms.base import Algorithm
from fedloom.data.bench_sets import BENCH_SETS, BenchSet
from fedloom.data.named_sets import NAMED_SETS
from fedloom.data.partition import partitioners
from fedloom.data.picture_sets import PICTURE_SETS
from fedloom.data.sources import forms, sources
from fedloom.evaluation.judges import judges
from fedloom.federation.codec import codecs
from fedloom.hooks import behaviours, finish_steps, prepare_steps, probes
from fedloom.measures import Measure
from fedloom.models.kinds import kinds
from fedloom.recipe import Recipe
from fedloom.registry import Registry, Setting, settings_of
from fedloom.report.loggers import loggers
from fedloom.synthesis.filters import pair_filters
from fedloom.synthesis.generator import generators
from fedloom.tasks import Task, tasks

PAGE = Path(__file__).parent / "recipe.md"
WIDTH = 100
"""Letters of a line of text."""

OPENING = """\
# The recipe, key by key

<!-- Written by `python docs/make_reference.py` from the schema; change the descriptions there, not here. -->

A recipe is a YAML file. Every key has a default, so a recipe says only what it wants otherwise:

<!-- recipe -->
```yaml
name: first-try
model: {id: tiny-llama}
data: {source: tiny-demo, partition: {kind: by_field, field: owner}}
task: {steps: 4, learning_rate: 5.0e-3}
federation: {rounds: 6, per_round: 3}
```

- `fedloom recipes show RECIPE --full` prints a recipe with every default written out; a run keeps that form in its folder.
- On the command line a key is set with its full name, `federation.rounds=6`, or with its last word where that is clear, `rounds=6`.
  Values are YAML: `evaluate.baselines=[base,local]`, `'data.partition={kind: iid}'`.
- A wrong key or value ends the command with exit code 2 and one line that names the key, before anything is loaded.
- What is chosen by name (a task, an algorithm, a partitioner) brings settings of its own, written beside the name. They are in the
  second half of this page; parts of your own are checked in the same way ([extending](extending.md)).
- `data.source` and `model.id`, where they are paths, start from the folder that the command runs in; `plugins` from the recipe's
  folder (when typed on the command line: from the folder that the command runs in).
"""


def reference() -> str:
    """The whole page."""
    return "\n".join(_wrapped("\n".join([OPENING, *_schema(), *_parts()]).rstrip().split("\n"))) + "\n"


def _wrapped(lines: Sequence[str]) -> Iterator[str]:
    """`lines` with those of plain text broken at `WIDTH`; tables, code, headings and comments stay as they are."""
    code = False
    for line in lines:
        code ^= line.startswith("```")
        if code or line.startswith(("|", "#", "<!--", "```")) or len(line) <= WIDTH:
            yield line
        else:
            indent = "  " if line.startswith("- ") else ""
            yield from textwrap.wrap(line, WIDTH, subsequent_indent=indent, break_long_words=False, break_on_hyphens=False)


def _schema() -> Iterator[str]:
    yield "## The whole run\n"
    yield from _fields(Recipe, "")


def _fields(model: type[BaseModel], prefix: str) -> Iterator[str]:
    """A table of the plain keys of `model`, then a section for each part below it."""
    plain, parts = [], []
    for name, field in model.model_fields.items():
        (parts if _part(field.annotation) else plain).append((prefix + name, field))
    if plain:
        yield _table(
            [(name, _type(field.annotation, field.metadata), field.get_default(call_default_factory=True), field) for name, field in plain]
        )
    for name, field in parts:
        part = _part(field.annotation)
        yield f"## `{name}`\n\n{_sentence(part)}\n"
        if field.description:
            yield f"`{name}` as a whole: {field.description}.\n"
        yield from _fields(part, f"{name}.")


def _table(rows: Sequence[tuple[str, str, Any, Any]]) -> str:
    lines = ["| key | type | default | what it is |", "|---|---|---|---|"]
    for name, kind, default, described in rows:
        required = default is ... or (isinstance(described, FieldInfo) and described.is_required())
        lines.append(f"| `{name}` | {kind} | {'required' if required else _value(default)} | {_cell(described.description or '')} |")
    return "\n".join(lines) + "\n"


def _parts() -> Iterator[str]:
    shared = settings_of(Task)
    yield "## Tasks: `task.kind`\n\nSettings that every task has:\n"
    yield _settings(shared, "task")
    yield from _registered(tasks, "task", shared)
    yield "## Kinds of model: what a task trains\n"
    yield _kinds()
    shared = settings_of(Algorithm)
    yield "## Algorithms: `algorithm.name`\n\nSettings that every algorithm has:\n"
    yield _settings(shared, "algorithm")
    yield from _registered(algorithms, "algorithm", shared)
    yield "## Partitioners: `data.partition.kind`\n"
    yield from _registered(partitioners, "data.partition", [])
    yield "## Sources: `data.source`\n"
    yield _list(sources)
    yield "Folders and policies, `data.source: FORM:REST`:\n"
    yield _list(forms)
    yield "Public sets of pictures, in a copy of your own: `data.source: NAME:FOLDER`, with `data.split` where there are splits:\n"
    yield "\n".join(f"- `{name}`: {one.copies}. Licence: {one.licence}" for name, one in PICTURE_SETS.items()) + "\n"
    yield "The federations of [FedLLM-Bench](bench.md), in a copy of your own: `data.source: NAME:FILE`, or `NAME:FOLDER`:\n"
    yield "\n".join(f"- `{name}`: {_layouts(one)}. Licence: {one.licence}" for name, one in BENCH_SETS.items()) + "\n"
    yield "`part:K/N:SOURCE` is the K-th of N disjoint parts of any source, `join:SOURCE,SOURCE,...` several with a client each.\n"
    yield "Public sets of the hub, known with their columns (needs the extra `hub`; `data.like: NAME` reads a copy of one from a file):\n"
    yield "\n".join(f"- `{name}`: {named.hub or 'your own file, by `data.like`'}" for name, named in NAMED_SETS.items()) + "\n"
    yield "## Codecs: `federation.codec`\n"
    yield "What a codec loses is not lost for good: the sender adds it to its next message (error feedback).\n"
    yield _list(codecs)
    yield "## Loggers: `loggers`\n"
    yield _list(loggers)
    yield "## Steps: `prepare` and `finish`\n"
    yield from _registered(prepare_steps, "prepare", [])
    yield from _registered(finish_steps, "finish", [])
    yield "How to add one: [extending](extending.md).\n"
    yield "## Generators: `generator` of a prepare step\n"
    yield from _registered(generators, "generator", [])
    yield "## Pair filters: `filters` of a prepare step\n"
    yield from _registered(pair_filters, "filters.N", [])
    yield "## Behaviours of malicious clients: `clients.behaviour`\n"
    yield from _registered(behaviours, "clients.behaviour", [])
    yield "## Probes: `evaluate.probes`\n"
    yield from _registered(probes, "evaluate.probes", [])
    yield "### Judges of a probe\n"
    yield _list(judges)


def _layouts(known: BenchSet) -> str:
    """The columns of a federation's rows, or those that it may have."""
    return " or ".join(f"`{', '.join(columns)}`" for columns in known.layouts)


def _registered(registry: Registry[Any], key: str, shared: Sequence[Setting]) -> Iterator[str]:
    """A section per part of our own: what it is, and the settings that are its alone."""
    for name, part in _own(registry):
        yield f"### `{name}`\n\n{_source(part) if registry is algorithms else _sentence(part)}\n"
        own = [setting for setting in settings_of(part) if (setting.name, setting.default) not in [(s.name, s.default) for s in shared]]
        if own:
            yield _settings(own, key)
        if registry is tasks:
            yield _of_task(part)


def _of_task(task: type[Task]) -> str:
    """What a task takes, trains and measures."""
    measures = "; ".join(f"`{measure.name}`, {measure.title} ({_direction(measure)})" for measure in task.measures)
    return f"Takes {task.record}s, trains a model of the kind `{task.model_kind}`, and measures {measures}.\n"


def _direction(measure: Measure) -> str:
    return "neither direction is better" if measure.better == "neither" else f"{measure.better} is better"


def _kinds() -> str:
    """A line for each kind of model, with the names that `model.id` may have beside those of the catalogue, the hub and folders."""
    lines = []
    for name, kind in _own(kinds):
        networks = f" `model.id`: {', '.join(f'`{network}`' for network in kind.networks)}." if kind.networks else ""
        adapter = "" if kind.takes_adapter else " All of its weights are trained: `model.adapter: null`."
        lines.append(f"- `{name}`: {_sentence(kind)}{networks}{adapter}")
    return "\n".join(lines) + "\n"


def _settings(settings: Sequence[Setting], prefix: str) -> str:
    return _table([(f"{prefix}.{setting.name}", _type(setting.type), setting.default, setting) for setting in settings])


def _list(registry: Registry[Any]) -> str:
    return "\n".join(f"- `{name}`: {_sentence(part)}" for name, part in _own(registry)) + "\n"


def _own(registry: Registry[Any]) -> list[tuple[str, Any]]:
    """The parts that come with Fedloom, not those of a plugin that was loaded before."""
    found = [(name, registry.get(name)) for name in registry.names()]
    return [(name, part) for name, part in found if getattr(part, "__module__", "").startswith("fedloom.")]


def _sentence(part: Any) -> str:
    """The first paragraph of the docstring. A codec that serves several names is told apart by what it holds."""
    text = " ".join((inspect.getdoc(part) or "").split("\n\n")[0].split())
    dtype = getattr(part, "dtype", None)
    return f"{text.rstrip('.')}: {str(dtype).removeprefix('torch.')}." if isinstance(dtype, torch.dtype) else text


def _source(part: Any) -> str:
    """Name, paper and formula of an algorithm: what its file opens with, and its own docstring."""
    opening = " ".join((inspect.getmodule(part).__doc__ or "").split("\n\n")[0].split())
    return f"{opening} {_sentence(part)}"


def _part(kind: Any) -> Any:
    """The part of a recipe that a key of this type holds, null allowed or not; None when it holds a plain value."""
    found = [one for one in (kind, *get_args(kind)) if isinstance(one, type) and issubclass(one, BaseModel)]
    return found[0] if found and get_origin(kind) is not list else None


def _type(kind: Any, metadata: Sequence[Any] = ()) -> str:
    """A type in words, with the bounds that its metadata set."""
    origin, inner = get_origin(kind), get_args(kind)
    if origin is Annotated:
        bounds = [item for extra in inner[1:] for item in (extra.metadata if isinstance(extra, FieldInfo) else [extra])]
        return _type(inner[0], [*metadata, *bounds])
    if origin is Literal:
        return " or ".join(f"`{value}`" for value in inner)
    if origin in (Union, UnionType):
        return " or ".join(_type(one, () if one is NoneType else metadata) for one in inner)
    if origin in (list, tuple):
        return f"list of {_type(inner[0])}"
    if _part(kind):
        return "`{kind: NAME, ...}`"
    words = {str: "text", int: "whole number", float: "number", bool: "true or false", NoneType: "null"}
    bounds = [f"{sign} {getattr(item, name):g}" for item in metadata for name, sign in BOUNDS.items() if hasattr(item, name)]
    return " ".join([words.get(kind) or "mapping", *([", ".join(bounds)] if bounds and kind in (int, float) else [])])


BOUNDS = {"ge": "≥", "gt": ">", "le": "≤", "lt": "<"}


def _value(value: Any) -> str:
    shown = yaml.safe_dump(value, default_flow_style=True, width=1000).removesuffix("\n").removesuffix("\n...")
    return f"`{shown}`"


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


if __name__ == "__main__":
    PAGE.write_text(reference(), encoding="utf-8")
    sys.stderr.write(f"{PAGE}: written\n")
