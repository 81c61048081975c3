"""What server and clients agree on before round 1, as plain JSON with a hash that both sides compare.

It holds what decides the result: task, algorithm, codec, seed, prepare steps, how rows are encoded, and the model by the hash of its
weights. It holds no source of data, no path and no code: each side knows by itself where its rows and its model are.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from functools import cached_property
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from fedloom.algorithms import Algorithm, algorithms
from fedloom.errors import FedloomError, RecipeError, RefusedMessageError
from fedloom.files import content_sha256, local_path
from fedloom.hooks import PrepareStep, prepare_steps
from fedloom.models.bench import Bench
from fedloom.privacy.terms import PrivacyTerms, for_clients
from fedloom.recipe import AdapterRecipe, ModelRecipe, PrivacyRecipe, Recipe
from fedloom.registry import Registry, Setting, Where, checked_settings, one_line, places_in, with_values
from fedloom.sampling import most_participations
from fedloom.tasks import Task, tasks

VERSION = 1

HASHED = "sha256:"
"""What stands before the hash of a file or folder in terms."""

NAME = re.compile(r"[A-Za-z0-9][\w.-]*(/[\w-][\w.-]*)?")
"""What is no path: a known name, or a hub's OWNER/NAME."""


class _Terms(BaseModel):
    """The parts of terms. Parts that are chosen by name are checked against what is registered under the name."""

    model_config = ConfigDict(extra="forbid", strict=True)

    class Evaluation(BaseModel):
        model_config = ConfigDict(extra="forbid", strict=True)
        batch_size: int = Field(ge=1)
        max_rows: int | None = Field(ge=1)

    class Model(BaseModel):
        model_config = ConfigDict(extra="forbid", strict=True)
        sha256: str
        dtype: str
        quantization: str | None
        adapter: AdapterRecipe | None
        running_statistics: str | None = None

    class Privacy(PrivacyRecipe):
        model_config = ConfigDict(extra="forbid", strict=True)
        rounds: int = Field(ge=1)
        clients: int = Field(ge=1)
        drawn: int = Field(ge=1)
        quorum: int = Field(ge=1)

    version: int
    task: dict[str, Any]
    algorithm: dict[str, Any]
    codec: str
    seed: int = Field(ge=0)
    evaluation: Evaluation
    data: dict[Literal["template", "max_length", "picture_size"], Any]
    model: Model
    prepare: list[dict[str, Any]]
    privacy: Privacy | None


@dataclass(frozen=True)
class Agreed:
    """The terms of one federation. `content` is plain JSON."""

    content: Mapping[str, Any]

    @cached_property
    def sha256(self) -> str:
        return hashlib.sha256(json.dumps(self.content, sort_keys=True, separators=(",", ":")).encode()).hexdigest()

    @cached_property
    def task(self) -> Task:
        task: Task = _made(tasks, self.content["task"], "task", "kind")
        return task

    @cached_property
    def algorithm(self) -> Algorithm:
        algorithm: Algorithm = _made(algorithms, self.content["algorithm"], "algorithm", "name")
        return algorithm

    @cached_property
    def prepare(self) -> list[PrepareStep]:
        """The prepare steps as the server has them: a file that a step names is a hash here."""
        return [_made_step(step, number) for number, step in enumerate(self.content["prepare"])]

    def steps_with(self, places: Mapping[str, str]) -> list[PrepareStep]:
        """The prepare steps where they work: `places` gives the path of every file or folder that they name, by its hash.

        Raises FedloomError for one that is not there.
        """
        return [_made_step(_with_paths(step, places, number), number) for number, step in enumerate(self.content["prepare"])]

    @cached_property
    def privacy(self) -> PrivacyTerms | None:
        return PrivacyTerms.of(self.content)

    @property
    def codec(self) -> str:
        return str(self.content["codec"])

    @property
    def seed(self) -> int:
        return int(self.content["seed"])

    @property
    def evaluation_batch(self) -> int:
        return int(self.content["evaluation"]["batch_size"])

    @property
    def most_held_out(self) -> int | None:
        """Held-out rows that a client measures at the most."""
        found: int | None = self.content["evaluation"]["max_rows"]
        return found


def agree(recipe: Recipe, bench: Bench, clients: int) -> Agreed:
    """The terms of `recipe` for `clients` clients and the model on `bench`."""
    task = recipe.task.model_dump(mode="json")
    if task.get("passes") is not None and task.get("participations") is None:
        task["participations"] = recipe.federation.rounds * min(recipe.federation.per_round or clients, clients) / clients
    content = {
        "version": VERSION,
        "task": task,
        "algorithm": recipe.algorithm.model_dump(mode="json", exclude={"defaults"}),
        "codec": recipe.federation.codec,
        "seed": recipe.seed,
        "evaluation": {"batch_size": recipe.evaluate.batch_size, "max_rows": recipe.evaluate.max_rows},
        "data": bench.encoder.terms,
        "model": model_terms(recipe.model, bench.sha256),
        "prepare": [_without_paths(step.model_dump(mode="json")) for step in recipe.prepare],
        "privacy": _privacy(recipe, clients),
    }
    return Agreed(json.loads(json.dumps(content)))


def _privacy(recipe: Recipe, clients: int) -> dict[str, Any] | None:
    if recipe.privacy is None:
        return None
    federation = recipe.federation
    drawn = min(federation.per_round or clients, clients)
    of_all = drawn == clients or recipe.privacy.unit == "client"  # of a client's privacy every round takes, whoever is drawn
    rounds = federation.rounds if of_all else most_participations(clients, drawn, recipe.seed, federation.rounds)
    terms = PrivacyTerms(**recipe.privacy.model_dump(mode="json"), rounds=rounds, clients=clients, drawn=drawn, quorum=federation.quorum)
    return asdict(terms if terms.unit == "row" else for_clients(terms))


def read_terms(content: Mapping[str, Any]) -> Agreed:
    """The terms that the other side has sent. Raises RefusedMessageError for terms of another version, or with parts unknown here."""
    if content.get("version") != VERSION:
        raise RefusedMessageError(
            f"its terms have version {content.get('version')}, this program reads {VERSION}; use one version everywhere"
        )
    agreed = Agreed(content)
    try:
        _Terms.model_validate(content)
        _ = agreed.task, agreed.algorithm, agreed.prepare
    except ValidationError as error:
        raise RefusedMessageError(f"its terms cannot be met here: {one_line(error.errors()[0])}") from None
    except FedloomError as error:
        raise RefusedMessageError(f"its terms cannot be met here: {error}") from None
    return agreed


def model_terms(model: ModelRecipe, sha256: str) -> dict[str, Any]:
    """What has to be the same about a model on all sides."""
    adapter = model.adapter.model_dump(mode="json") if model.adapter else None
    terms = {"sha256": sha256, "dtype": model.dtype, "quantization": model.quantization, "adapter": adapter}
    return terms | ({"running_statistics": model.running_statistics} if model.running_statistics else {})


def refuse_paths(agreed: Agreed) -> None:
    """Raise RefusedMessageError for a prepare step that names a file or folder by a path: it would be one of the owner's choosing."""
    for number, step in enumerate(agreed.content["prepare"]):
        for place, (_, value) in _places(step).items():
            if not value.startswith(HASHED) and (not NAME.fullmatch(value) or local_path(value).exists()):
                raise RefusedMessageError(f"prepare.{number}.{_dotted(place)}: terms name a file by its hash, and never by a path")


def places_of(recipe: Recipe) -> dict[str, str]:
    """hash -> path of the local files and folders that the recipe's prepare steps name."""
    steps = [step.model_dump(mode="json") for step in recipe.prepare]
    return {_hashed(path): path for step in steps for path in _local_places(step).values()}


def _places(step: Mapping[str, Any]) -> dict[Where, tuple[Setting, str]]:
    """Where -> (setting, value) of the settings of a prepare step that may name a local file or folder."""
    return places_in(prepare_steps.get(step["kind"]), step)


def _local_places(step: Mapping[str, Any]) -> dict[Where, str]:
    """Where -> path of the settings of a prepare step that name a local file or folder."""
    return {place: value for place, (_, value) in _places(step).items() if local_path(value).exists()}


def _without_paths(step: dict[str, Any]) -> dict[str, Any]:
    """A prepare step's settings with local files and folders by their hash in place of their path."""
    return with_values(step, {place: _hashed(path) for place, path in _local_places(step).items()})


def _with_paths(step: Mapping[str, Any], places: Mapping[str, str], number: int) -> dict[str, Any]:
    """A prepare step's settings with paths in place of hashes. What the server alone reads keeps its hash at a site without the file."""
    found = {place: one for place, one in _places(step).items() if one[1].startswith(HASHED)}
    for place, (setting, value) in found.items():
        if value not in places and not setting.of_server:
            short = value[: len(HASHED) + 12]
            raise FedloomError(f"prepare.{number}.{_dotted(place)}: this site has no file with the hash {short}; give it a copy")
    return with_values(step, {place: places[value] for place, (_, value) in found.items() if value in places})


def _dotted(place: Where) -> str:
    return ".".join(map(str, place))


def _hashed(path: str) -> str:
    return HASHED + content_sha256(local_path(path))


def _made_step(settings: Mapping[str, Any], number: int) -> PrepareStep:
    step: PrepareStep = _made(prepare_steps, settings, f"prepare.{number}", "kind")
    return step


def _made(registry: Registry[Any], settings: Mapping[str, Any], where: str, key: str) -> Any:
    """The registered part that `settings` name, with its settings checked. Raises RecipeError naming `where`."""
    own = dict(settings)
    name = own.pop(key, None)
    if not isinstance(name, str):
        raise RecipeError(f"{where}.{key}: is required")
    part = registry.get(name)
    return part(**checked_settings(part, own, where))
