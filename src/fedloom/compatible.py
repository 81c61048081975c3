"""Refuses, before anything is loaded, parts of a recipe that are right by themselves and do not go together."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from fedloom.algorithms import Algorithm, algorithms
from fedloom.data.named_sets import NAMED_SETS
from fedloom.data.picture_sets import PICTURE_SETS
from fedloom.data.source_names import single_sources
from fedloom.errors import RecipeError
from fedloom.hooks import Behaviour, PrepareStep, behaviours, finish_steps, prepare_steps
from fedloom.models.kinds import kinds
from fedloom.recipe import EvaluateRecipe, Recipe
from fedloom.registry import Registry, nearest
from fedloom.tasks import tasks


def check_model(recipe: Recipe) -> None:
    """Raise RecipeError for settings of the model that the task's kind of model does not have."""
    task = tasks.get(recipe.task.kind)
    if task.model_kind not in kinds:
        raise RecipeError(
            f"task.kind: {recipe.task.kind} trains an unknown kind of model '{task.model_kind}'{nearest(task.model_kind, kinds.names())}"
        )
    kind = kinds.get(task.model_kind)
    if recipe.model.adapter is not None and not kind.takes_adapter:
        raise RecipeError(f"model.adapter: {recipe.task.kind} trains a {task.model_kind}, which takes no adapter; write null")
    for key in kind.unused:
        if getattr(recipe.model, key):
            raise RecipeError(f"model.{key}: means nothing to a {task.model_kind}, which {recipe.task.kind} trains; leave it out")
    for other in kinds.names():
        if recipe.model.id in kinds.get(other).networks and recipe.model.id not in kind.networks:
            raise RecipeError(
                f"model.id: {recipe.model.id} is a {other}, and {recipe.task.kind} trains a {task.model_kind}; choose another model or task"
            )


def check_lengths(task: Mapping[str, Any], max_length: int | None) -> None:
    """Raise RecipeError where the longest prompt would leave no room for an answer."""
    prompt = task.get("max_prompt_length")
    if prompt is not None and max_length is not None and prompt >= max_length:
        raise RecipeError(f"task.max_prompt_length: is {prompt}, and data.max_length is {max_length}: no answer would fit; set it lower")


def check_splits(recipe: Recipe) -> None:
    """Raise RecipeError for a subset or split of a source that has none."""
    data, evaluate = recipe.data, recipe.evaluate
    if data.subset is not None and not _has_splits(data.source, of_hub=True):
        raise RecipeError(f"data.subset: belongs to data sets of the hub, and {data.source} is none; leave it out")
    for key, source, split in (("data", data.source, data.split), ("evaluate", evaluate.source, evaluate.split)):
        if source is not None and split is not None and not _has_splits(source):
            raise RecipeError(
                f"{key}.split: belongs to data sets of the hub and named sets of pictures, and {source} is none; leave it out"
            )


def _has_splits(source: str, of_hub: bool = False) -> bool:
    """Whether one of the sources that `source` is made of has splits, `of_hub` or in a copy of the user's own."""
    singles = single_sources(source)
    if any(single.startswith("hub:") or single in NAMED_SETS for single in singles):
        return True
    return not of_hub and any(single.partition(":")[0] in PICTURE_SETS for single in singles)


def check_algorithm(recipe: Recipe, name: str, algorithm: Algorithm) -> None:
    """Raise RecipeError for an algorithm that does not go with what else the recipe wants."""
    if recipe.federation.delay and not algorithm.takes_late:
        raise RecipeError(f"federation.delay: {name} waits for every client and takes no late reply; write 0, or use fedbuff")
    adapter, clients = recipe.model.adapter, recipe.federation.clients
    for client, rank in algorithm.ranks.items():
        if adapter is not None and rank > adapter.rank:
            raise RecipeError(f"algorithm.ranks: client '{client}' has rank {rank}, but model.adapter.rank is {adapter.rank}; raise that")
    if clients is not None:
        algorithm.trainers([f"client-{number}" for number in range(clients)])  # local:9 of four clients is refused here
    if (drawn := recipe.federation.per_round or clients) is not None:
        check_drawn(name, algorithm, drawn)
    if algorithm.aggregate == "refactor" and recipe.task.settings.get("keep_optimizer"):
        raise RecipeError("task.keep_optimizer: moments do not fit factors that are made anew in every round (refactor); write false")
    if algorithm.measured_with_memory:
        _check_no_model_asked(recipe, name)
    if adapter is None and algorithm.aggregate != "average_factors":
        raise RecipeError(
            f"algorithm.aggregate: {algorithm.aggregate} joins LoRA factors, and model.adapter is null; write average_factors"
        )


def _check_no_model_asked(recipe: Recipe, name: str) -> None:
    """Raise RecipeError for what asks the model that is handed out, which is without the parts that the clients keep."""
    asked = [key for key in ("suites", "probes") if getattr(recipe.evaluate, key)]
    if samples_taken(recipe, measured_with_memory=True):
        asked.append("samples")
    for key in asked:
        raise RecipeError(
            f"evaluate.{key}: {name} leaves parts of the model with each client, and what is handed out is without them: there is no model"
            f" to ask; write {'0' if key == 'samples' else '[]'}, or choose another algorithm"
        )


def samples_taken(recipe: Recipe, measured_with_memory: bool) -> int:
    """`evaluate.samples`; of an algorithm that leaves parts with the clients 0 in place of the default."""
    samples = recipe.evaluate.samples
    return 0 if measured_with_memory and samples == EvaluateRecipe().samples else samples


def check_drawn(name: str, algorithm: Algorithm, drawn: int) -> None:
    """Raise RecipeError for an algorithm that needs more clients in a round than are `drawn`."""
    if algorithm.needs_clients > drawn:
        raise RecipeError(f"federation.per_round: {name} needs {algorithm.needs_clients} or more clients in a round, but {drawn} are drawn")


def check_privacy(
    recipe: Recipe,
    task: Mapping[str, Any],
    prepare: Sequence[Mapping[str, Any]],
    finish: Sequence[Mapping[str, Any]],
    algorithm: Algorithm,
) -> None:
    """Raise RecipeError for parts that differential privacy does not go with; `prepare` and `finish` are steps with all their settings."""
    if recipe.privacy is None:
        return
    if tasks.get(recipe.task.kind).couples_rows and recipe.privacy.unit == "row":
        raise RecipeError(
            f"task.kind: the loss of {recipe.task.kind} joins the rows of a batch, and cannot be clipped row by row; choose dpo or orpo"
        )
    if task.get("passes") is not None:
        raise RecipeError("task.passes: steps that grow with the rows of a client tell how many it has; under privacy write task.steps")
    if "loss_before" in algorithm.needs_report:
        raise RecipeError(
            f"algorithm.name: {recipe.algorithm.name} weighs clients by their losses, which tell of rows; under privacy choose another"
        )
    if recipe.privacy.unit == "client":
        if not algorithm.joins_by_mean or algorithm.aggregate == "refactor":
            able = ", ".join(name for name in algorithms.names() if algorithms.get(name).joins_by_mean)
            raise RecipeError(
                f"algorithm.name: {recipe.algorithm.name} joins updates by more than their mean, which noise for whole clients does not go"
                f" with; choose {able}, with average_factors or ffa"
            )
        _check_updates_unused(finish)
    for number, settings in enumerate(prepare):
        step: PrepareStep = _made(prepare_steps, settings)
        if step.exchanges and step.counts_rows and (recipe.privacy.unit == "client" or step.noise_on_counts is None):
            raise RecipeError(
                f"prepare.{number}: {settings['kind']} sends counts of a client's rows up, which noise for privacy.unit"
                f" {recipe.privacy.unit} does not protect; {_advice(step, recipe.privacy.unit)}, or write privacy: null"
            )
        if recipe.privacy.unit == "row" and not step.row_by_row:
            raise RecipeError(
                f"prepare.{number}: {settings['kind']} makes a row of several, or several of one, so that protecting a row would not"
                f" protect what it was made of; {step.for_privacy}, or write privacy: null"
            )


def _advice(step: PrepareStep, unit: str) -> str:
    return step.for_privacy if unit == "row" else "set it so that it counts none, leave it out"


def _made(registry: Registry[Any], settings: Mapping[str, Any]) -> Any:
    """The part that `settings` name by their kind."""
    return registry.get(settings["kind"])(**{name: value for name, value in settings.items() if name != "kind"})


def _check_updates_unused(finish: Sequence[Mapping[str, Any]]) -> None:
    for number, step in enumerate(finish):
        if _made(finish_steps, step).needs_updates:
            raise RecipeError(
                f"finish.{number}: {step['kind']} works with models of single clients, and privacy.unit: client protects their sum alone;"
                " let it work with the joined model, or leave it out"
            )


def check_membership(recipe: Recipe) -> None:
    """Raise RecipeError where single rows cannot, or may not, be told apart by their losses."""
    if not recipe.evaluate.membership:
        return
    if recipe.privacy is not None:
        raise RecipeError(
            "evaluate.membership: how well rows are told apart is a function of them without noise, which privacy does not allow; write"
            " false, and measure it where the rows lie with `fedloom audit privacy`"
        )
    if tasks.get(recipe.task.kind).couples_rows:
        raise RecipeError(
            f"evaluate.membership: the loss of {recipe.task.kind} joins the rows of a batch, so that no row has one of its own; write false"
        )


def check_behaviour(name: str, task: str, where: str) -> None:
    """Raise RecipeError for a behaviour that changes conversations, where the task takes other records."""
    record = tasks.get(task).record
    if behaviours.get(name).change_rows is not Behaviour.change_rows and record != "conversation":
        raise RecipeError(f"{where}: {name} changes conversations, and {task} takes {record}s; choose a behaviour that changes updates")


def check_finish_kinds(steps: Sequence[Mapping[str, Any]]) -> None:
    """Raise RecipeError for two finish steps of one kind: their measures could not be told apart."""
    kinds_of_steps = [step["kind"] for step in steps]
    for i, kind in enumerate(kinds_of_steps):
        if kind in kinds_of_steps[:i]:
            raise RecipeError(f"finish.{i}: is a second {kind}, whose measures could not be told from those of the first; leave one out")


def check_probe_names(probes: Sequence[Mapping[str, Any]]) -> None:
    """Raise RecipeError for two probes of one name: their measures could not be told apart."""
    names = [probe.get("name") or probe["kind"] for probe in probes]
    for i, name in enumerate(names):
        if name in names[:i]:
            raise RecipeError(f"evaluate.probes.{i}.name: another probe's measures have this name already; give it a name of its own")
