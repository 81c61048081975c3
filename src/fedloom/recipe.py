"""The schema of a run. A recipe is YAML with the parts below; each has defaults, and a wrong key is answered with the nearest right one.

Parts that are chosen by name (task, algorithm, partition, hooks) carry their own settings beside the name; those settings are the fields
of the registered class, so that a user's own algorithm is checked exactly like ours.
"""

from __future__ import annotations

import importlib.util
import re
import sys
from collections.abc import Container, Mapping
from dataclasses import is_dataclass
from pathlib import Path
from types import UnionType
from typing import TYPE_CHECKING, Annotated, Any, Literal, get_args

import yaml
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, model_validator

from fedloom.errors import RecipeError
from fedloom.files import local_path
from fedloom.registry import checked_settings, nearest, one_line, settings_of

if TYPE_CHECKING:
    from fedloom.algorithms import Algorithm

PRESETS = Path(__file__).parent / "recipes"


def _seconds(value: Any) -> Any:
    """'10m', '90s', '1h' or a number of seconds -> seconds."""
    if isinstance(value, str) and (match := re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*(s|m|h)?\s*", value)):
        return float(match[1]) * {"s": 1, "m": 60, "h": 3600, None: 1}[match[2]]
    return value


Duration = Annotated[float, BeforeValidator(_seconds), Field(gt=0)]


class Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class NamedPart(Part):
    """A part chosen by name, with the settings of what is named beside the name."""

    model_config = ConfigDict(extra="allow", frozen=True)

    @property
    def settings(self) -> dict[str, Any]:
        """What stands beside the fixed keys."""
        return dict(self.model_extra or {})


class AdapterRecipe(Part):
    """What is trained on top of the base model."""

    kind: Literal["lora"] = Field("lora", description="what is added to the base model: low-rank factors A and B beside each target")
    rank: int = Field(16, ge=1, description="rank r of the LoRA factors")
    alpha: float = Field(32, gt=0, description="LoRA scale: the product BA is multiplied by alpha / rank")
    dropout: float = Field(0.0, ge=0, lt=1, description="dropout on the input of A, in training only")
    targets: str | list[str] = Field(
        "all-linear", description="module names that get an adapter (list, or a regular expression), or all-linear"
    )


class ModelRecipe(Part):
    """The base model that every client starts from."""

    id: str = Field("smollm2-135m-instruct", description="a name of `fedloom models ls`, a hub id, a local folder, or a .gguf file")
    revision: str | None = Field(None, description="hub revision (commit, tag or branch)")
    dtype: Literal["float32", "bfloat16", "float16"] = Field("float32", description="precision of the base weights and of the forward pass")
    quantization: Literal["int8", "nf4"] | None = Field(None, description="bitsandbytes quantisation of the base weights (CUDA only)")
    device: str = Field("auto", description="auto (cuda, then mps, then cpu), or a torch device")
    gradient_checkpointing: bool = Field(False, description="recompute activations in the backward pass: half the memory, a quarter slower")
    adapter: AdapterRecipe | None = Field(default_factory=AdapterRecipe, description="null: all weights of the model are trained")

    @model_validator(mode="after")
    def _trainable(self) -> ModelRecipe:
        if self.adapter is None and self.quantization is not None:
            raise ValueError(f"adapter: null trains all weights, which {self.quantization} does not allow; write quantization: null")
        return self


class PartitionRecipe(NamedPart):
    """How rows become clients."""

    kind: str = Field("iid", description="a registered partitioner")


class FieldsRecipe(Part):
    """Which columns of the source hold what. null: recognised from the columns."""

    instruction: str | None = Field(None, description="column of the instruction or question")
    input: str | None = Field(None, description="column of an input that is joined to the instruction by a space; rows may leave it empty")
    response: str | None = Field(None, description="column of the response or answer")
    messages: str | None = Field(
        None, description="column of a conversation: a list of {role, content}; the last assistant turn is the response"
    )
    system: str | None = Field(None, description="column of a system prompt")
    prompt: str | None = Field(
        None, description="column of what both answers of a preference pair reply to: text, or a list of turns; null: it is part of both"
    )
    chosen: str | None = Field(None, description="column of the preferred answer: text, a turn, or a conversation that ends with it")
    rejected: str | None = Field(None, description="column of the answer that is not")


class DataRecipe(Part):
    """Where rows come from and who holds them."""

    source: str = Field(
        "evals-demo",
        description="a registered name, a named set, a file (.json .jsonl .csv .parquet), a folder (a file per client), hub:OWNER/NAME, "
        "evals:NAME,..., or several as join:SOURCE,SOURCE,... (a client each with partition by_source)",
    )
    like: str | None = Field(None, description="read the columns of the source as those of this named set, such as medalpaca-flashcards")
    subset: str | None = Field(None, description="configuration name of a hub data set")
    split: str | None = Field(None, description="split of a hub data set; null: train, or the one that a named set is trained on")
    fields: FieldsRecipe = Field(default_factory=FieldsRecipe)
    provenance: Literal["private", "public"] | None = Field(
        None,
        description="private text stays with its client and is never shown; null: public for the demos and the hub, private for all else",
    )
    template: Literal["chat", "alpaca", "vicuna"] = Field(
        "chat", description="how a row becomes text: the tokenizer's own chat template, alpaca or vicuna"
    )
    partition: PartitionRecipe = Field(default_factory=PartitionRecipe)
    held_out: float = Field(0.15, ge=0, lt=1, description="share of every client's rows kept for evaluation, never trained on")
    limit: int | None = Field(
        None, ge=1, description="use at most this many rows of the source (of each that is joined), drawn by the seed"
    )
    max_length: int = Field(
        512, ge=8, description="longest row in tokens; longer ones lose their end, and the share of such rows is reported"
    )


class TaskRecipe(NamedPart):
    """What a client optimises."""

    kind: str = Field("sft", description="a registered task")


class AlgorithmRecipe(NamedPart):
    """How updates are joined."""

    name: str = Field("fedavg", description="a registered algorithm")


class FederationRecipe(Part):
    """Who takes part, how often, and what crosses the wire."""

    clients: int | None = Field(None, ge=1, description="number of clients; null: as many as the data names (by_field, by_source)")
    per_round: int | None = Field(None, ge=1, description="clients drawn each round without replacement; null: all")
    rounds: int = Field(8, ge=1, description="number of rounds")
    quorum: int = Field(1, ge=1, description="replies that a round needs at the least")
    deadline: Duration = Field(600.0, description="seconds (or 90s, 10m, 1h) after which a round no longer waits for a client")
    delay: int = Field(
        0,
        ge=0,
        description="up to how many rounds late a reply may come, drawn for each: slow sites, played out for fedbuff; 0: none is late",
    )
    retries: int = Field(1, ge=0, description="times that a round below quorum is tried again before the run stops")
    engine: Literal["local", "ray"] = Field(
        "local", description="how work reaches the clients; local: this machine; ray: Ray actors, on several GPUs or machines"
    )
    workers: int | Literal["auto"] = Field(
        "auto", description="clients that train at the same time on this machine; auto: one per core where it pays"
    )
    threads: int | Literal["auto"] = Field(
        "auto", description="threads of each client's work; auto: cores / workers. Runs with as many threads end in the same bytes"
    )
    codec: str = Field("fp32", description="how tensors are written on the wire: fp32, bf16, int8, nf4")
    max_update_norm: float | None = Field(None, gt=0, description="refuse an update whose Euclidean norm is larger")

    @model_validator(mode="after")
    def _counts_fit(self) -> FederationRecipe:
        if self.clients and self.per_round and self.per_round > self.clients:
            raise ValueError(f"per_round is {self.per_round}, but there are only {self.clients} clients")
        drawn = self.per_round or self.clients
        if drawn and self.quorum > drawn:
            raise ValueError(f"quorum is {self.quorum}, but only {drawn} clients are drawn each round")
        for name, count in (("workers", self.workers), ("threads", self.threads)):
            if isinstance(count, int) and count < 1:
                raise ValueError(f"{name} is at least 1")
        return self


class HookRecipe(NamedPart):
    """A step of the prepare or the finish hook, a probe, or a behaviour."""

    kind: str = Field(description="a registered part")


class ClientsRecipe(Part):
    """Clients that are played as malicious, to measure what that does and what helps: a red-team run."""

    malicious: int = Field(0, ge=0, description="how many clients are malicious; which ones is drawn by the seed")
    behaviour: HookRecipe | None = Field(None, description="what they do: a registered behaviour")
    beside: HookRecipe | None = Field(None, description="behaviour of a run that this one stands beside: what it draws from is not asked")

    @model_validator(mode="after")
    def _belong_together(self) -> ClientsRecipe:
        if (self.malicious > 0) != (self.behaviour is not None):
            raise ValueError("malicious and behaviour belong together; set both, or neither")
        return self


class EvaluateRecipe(Part):
    """What is measured on held-out data."""

    every: int = Field(4, ge=0, description="evaluate the joined model every so many rounds, and after the last; 0: never")
    baselines: list[Literal["base", "majority", "local", "centralized"]] = Field(
        default=["base"],
        description="what the joined model is compared with: base, majority answer, each client alone, all data in one place",
    )
    max_rows: int | None = Field(None, ge=1, description="held-out rows used per client; null: all")
    batch_size: int = Field(16, ge=1, description="rows per forward pass")
    samples: int = Field(1, ge=0, description="answers per client generated before and after, from PUBLIC data only, for the report")
    max_new_tokens: int = Field(32, ge=1, description="length of such an answer")
    probes: list[HookRecipe] = Field(default_factory=list, description="what else is measured of the joined model, on the server")


class Recipe(Part):
    """A whole run."""

    name: str = Field("run", pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$", description="name of the run, part of its folder's name")
    model: ModelRecipe = Field(default_factory=ModelRecipe)
    data: DataRecipe = Field(default_factory=DataRecipe)
    task: TaskRecipe = Field(default_factory=TaskRecipe)
    algorithm: AlgorithmRecipe = Field(default_factory=AlgorithmRecipe)
    federation: FederationRecipe = Field(default_factory=FederationRecipe)
    clients: ClientsRecipe = Field(default_factory=ClientsRecipe)
    privacy: None = Field(None, description="null: no formal privacy guarantee beyond data staying with its client")
    prepare: list[HookRecipe] = Field(default_factory=list, description="steps that every client takes once, before training")
    finish: list[HookRecipe] = Field(default_factory=list, description="steps that the server takes once, on the joined model")
    evaluate: EvaluateRecipe = Field(default_factory=EvaluateRecipe)
    loggers: list[str] = Field(default_factory=list, description="where metrics go beside the run folder: tensorboard, mlflow, wandb")
    plugins: list[str] = Field(
        default_factory=list, description="Python files that register parts of your own, by their paths from the recipe"
    )
    seed: int = Field(7, ge=0, description="the one seed of the run")

    def plain(self) -> dict[str, Any]:
        """The recipe as plain YAML values, defaults included."""
        return self.model_dump(mode="json")

    def to_yaml(self) -> str:
        return yaml.safe_dump(self.plain(), sort_keys=False, allow_unicode=True, width=120)


def load_recipe(source: Recipe | str | Path | Mapping[str, Any], overrides: Mapping[str, Any] | None = None) -> Recipe:
    """A checked and completed recipe from a path, the name of a preset, a mapping, or a recipe, with `overrides` (dotted keys) applied.

    A bare key that is no part of a recipe (`rounds=20`) stands for the one key of that name deeper down.
    Raises RecipeError with one line for the first key that is wrong.
    """
    if isinstance(source, Recipe):
        raw, folder = source.plain(), Path.cwd()
    elif isinstance(source, Mapping):
        raw, folder = _plain_copy(source), Path.cwd()
    else:
        path = find_recipe(source)
        raw, folder = _read_yaml(path), path.parent
    for key, value in (overrides or {}).items():
        _override(raw, key, value)
    if "plugins" in (overrides or {}):
        folder = Path.cwd()  # what is typed is meant from where it is typed, not from where the preset lies
    plugins = raw.get("plugins") or []
    if not isinstance(plugins, list) or not all(isinstance(plugin, str) for plugin in plugins):
        raise RecipeError("plugins: should be a list of Python files")
    raw["plugins"] = [_load_plugin(plugin, folder) for plugin in plugins]
    try:
        recipe = Recipe.model_validate(raw)
    except ValidationError as error:
        raise RecipeError(_explain(error)) from None
    return _complete(recipe)


def find_recipe(name: str | Path) -> Path:
    """A file, or a preset by name (`tiny`, `tiny.yaml`, `recipes/tiny.yaml`)."""
    path = local_path(name)
    if path.is_file():
        return path
    preset = PRESETS / f"{path.name.removesuffix('.yaml')}.yaml"
    if preset.is_file() and path.parent.name in ("", "recipes"):
        return preset
    raise RecipeError(f"{name}: no such recipe{nearest(path.name.removesuffix('.yaml'), preset_names())}")


def preset_names() -> list[str]:
    return sorted(path.stem for path in PRESETS.glob("*.yaml"))


def parse_overrides(words: list[str]) -> dict[str, Any]:
    """`a.b=c` words of a command line -> {key: value}; values are read as YAML, so that numbers are numbers and null is null."""
    found = {}
    for word in words:
        key, equals, value = word.partition("=")
        if not equals or not key:
            raise RecipeError(f"'{word}' is not of the form key=value")
        try:
            found[key.strip()] = _yaml_value(value)
        except yaml.YAMLError:
            raise RecipeError(f"{key}: '{value}' is not a YAML value; put quotes around text with special characters") from None
    return found


def _yaml_value(text: str) -> Any:
    value = yaml.safe_load(text) if text.strip() else ""
    if isinstance(value, str) and re.fullmatch(r"[+-]?\d+(\.\d*)?[eE][+-]?\d+", value):
        return float(value)  # YAML 1.1 reads 1e-3 as text
    return value


def _read_yaml(path: Path) -> dict[str, Any]:
    try:
        raw = yaml.safe_load(path.read_text(encoding="utf-8"))
    except UnicodeDecodeError as error:
        raise RecipeError(f"{path}: is not UTF-8 text (byte {error.start})") from None
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = f":{mark.line + 1}" if mark else ""
        raise RecipeError(f"{path}{where}: is not valid YAML ({getattr(error, 'problem', None) or 'cannot be read'})") from None
    if not isinstance(raw, dict):
        raise RecipeError(f"{path}: should be a mapping of recipe keys, such as `name: my-run`")
    return _with_floats(raw)


def _with_floats(value: Any) -> Any:
    """YAML 1.1 reads `1e-3` as text; users mean the number."""
    if isinstance(value, dict):
        return {key: _with_floats(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_with_floats(item) for item in value]
    return float(value) if isinstance(value, str) and re.fullmatch(r"[+-]?\d+(\.\d*)?[eE][+-]?\d+", value) else value


def _plain_copy(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _plain_copy(item) for key, item in value.items()}
    return [_plain_copy(item) for item in value] if isinstance(value, list | tuple) else value


def _override(raw: dict[str, Any], key: str, value: Any) -> None:
    path = key.split(".")
    if len(path) == 1 and (key not in Recipe.model_fields or _means_deeper(key, value)):
        path = _deeper(key).split(".")
    elif path[0] not in Recipe.model_fields:
        raise RecipeError(f"{key}: unknown key{nearest(path[0], Recipe.model_fields)}")
    part = raw
    for step in path[:-1]:
        if not isinstance(part.get(step), dict):
            part[step] = {}
        part = part[step]
    part[path[-1]] = value


def _means_deeper(key: str, value: Any) -> bool:
    """Whether a part's name with a plain value stands for a key deeper down: clients=4 is federation.clients=4."""
    part = _part_of(Recipe.model_fields[key].annotation)
    return part is not None and not isinstance(value, Mapping) and any(known.endswith(f".{key}") for known in _dotted_keys(Recipe))


def _deeper(leaf: str) -> str:
    """The one dotted key whose last step is `leaf`."""
    from fedloom.tasks import tasks

    known = _dotted_keys(Recipe)
    known |= {f"task.{field}" for field in getattr(tasks.get("sft"), "__dataclass_fields__", {})}
    matches = sorted(key for key in known if key.rsplit(".", 1)[-1] == leaf)
    if not matches:
        raise RecipeError(f"{leaf}: unknown key{nearest(leaf, {key.rsplit('.', 1)[-1] for key in known})}")
    if len(matches) > 1:
        raise RecipeError(f"{leaf}: could be {' or '.join(matches)}; write the one you mean in full")
    return matches[0]


def _dotted_keys(model: type[BaseModel], prefix: str = "") -> set[str]:
    keys = set()
    for name, field in model.model_fields.items():
        inner = _part_of(field.annotation)
        if inner:
            keys |= _dotted_keys(inner, f"{prefix}{name}.")
        if inner is not field.annotation:
            keys.add(prefix + name)
    return keys


def _part_of(annotation: Any) -> type[BaseModel] | None:
    """The part of a recipe that a key of this type holds, if it holds one; a part that may be null included."""
    for kind in get_args(annotation) if isinstance(annotation, UnionType) else (annotation,):
        if isinstance(kind, type) and issubclass(kind, Part):
            return kind
    return None


def _explain(error: ValidationError) -> str:
    problem = error.errors()[0]
    if problem["type"] == "extra_forbidden":
        *parents, key = problem["loc"]
        model: Any = Recipe
        for parent in parents:
            if isinstance(parent, str):
                model = _part_of(model.model_fields[parent].annotation)
        known = model.model_fields if model else ()
        return f"{'.'.join(map(str, problem['loc']))}: unknown key{nearest(str(key), known)}"
    return one_line(problem).replace("value error, ", "")


def _load_plugin(plugin: str, folder: Path) -> str:
    """Import a user's file so that its decorators run; the absolute path is what the resolved recipe remembers."""
    path = (folder / local_path(plugin)).resolve()
    if not path.is_file():
        raise RecipeError(f"plugins: {path}: no such file")
    name = f"fedloom_plugin_{path.stem}"
    if getattr(sys.modules.get(name), "__file__", None) != str(path):
        spec = importlib.util.spec_from_file_location(name, path)
        if spec is None or spec.loader is None:
            raise RecipeError(f"plugins: {path}: is not a Python file")
        module = importlib.util.module_from_spec(spec)
        sys.modules[name] = module
        try:
            spec.loader.exec_module(module)
        except RecipeError:
            del sys.modules[name]
            raise
        except Exception as error:
            del sys.modules[name]
            raise RecipeError(f"plugins: {path}: fails on import: {type(error).__name__}: {error}") from error
    return str(path)


def _anchored(name: str, known: Container[str]) -> str:
    """A local path as an absolute one, so that a run can be resumed from another folder; a `known` or other name as it is."""
    from fedloom.data.sources import forms

    form, colon, rest = name.partition(":")
    if colon and form in forms:
        file, colon, use = rest.partition(":")
        return f"{form}:{_anchored(file, known)}{colon}{use}" if Path(file).suffix in (".yaml", ".yml") else name
    path = local_path(name)
    return str(path.resolve()) if name not in known and path.exists() else name


def _anchored_judge(judge: dict[str, Any], known: Container[str]) -> dict[str, Any]:
    from fedloom.safety.judges import judges

    part = judges.get(judge["kind"]) if str(judge.get("kind")) in judges else None
    places = [setting.name for setting in settings_of(part) if setting.place] if part else []
    return judge | {place: _anchored(judge[place], known) for place in places if isinstance(judge.get(place), str)}


def _complete(recipe: Recipe) -> Recipe:
    """Check the settings of every part that is chosen by name, and write their defaults out."""
    import fedloom.safety  # noqa: F401 - registers its parts
    from fedloom.algorithms import algorithms, split_name
    from fedloom.data.named_sets import NAMED_SETS
    from fedloom.data.partition import partitioners
    from fedloom.data.sources import JOINED, joined_parts, sources
    from fedloom.federation.codec import codecs
    from fedloom.hooks import behaviours, finish_steps, prepare_steps, probes
    from fedloom.models.catalogue import catalogue
    from fedloom.report.loggers import loggers
    from fedloom.safety.policy import policy_names
    from fedloom.tasks import tasks

    models = [model.id for model in catalogue()]
    known = [*sources.names(), *models, *policy_names()]

    def check_name(name: str, registry: Any, where: str) -> None:
        if name not in registry:
            raise RecipeError(f"{where}: unknown {registry.kind} '{name}'{nearest(name, registry.names())}")

    def completed(part: NamedPart, registry: Any, where: str, key: str) -> dict[str, Any]:
        name = getattr(part, key)
        check_name(name, registry, f"{where}.{key}")
        settings = checked_settings(registry.get(name), part.settings, where)
        places = [setting.name for setting in settings_of(registry.get(name)) if setting.place and settings[setting.name] is not None]
        settings |= {place: _anchored(settings[place], known) for place in places}
        if "judges" in settings:
            settings["judges"] = [_anchored_judge(judge, known) for judge in settings["judges"]]
        if is_dataclass(registry.get(name)):
            registry.get(name)(**settings)  # a part refuses settings that do not go together when it is made
        return {key: name, **settings}

    if recipe.data.like is not None and recipe.data.like not in NAMED_SETS:
        raise RecipeError(f"data.like: unknown set '{recipe.data.like}'{nearest(recipe.data.like, NAMED_SETS)}")
    check_name(recipe.federation.codec, codecs, "federation.codec")
    for logger in recipe.loggers:
        check_name(logger, loggers, "loggers")
    name, short = split_name(recipe.algorithm.name)
    recipe = recipe.model_copy(update={"algorithm": AlgorithmRecipe.model_validate({"name": name, **recipe.algorithm.settings, **short})})
    plain = recipe.plain()
    source = recipe.data.source
    if source.startswith(JOINED):
        plain["data"]["source"] = JOINED + ",".join(_anchored(part, sources.names()) for part in joined_parts(source))
    else:
        plain["data"]["source"] = _anchored(source, sources.names())
    plain["model"]["id"] = _anchored(recipe.model.id, models)
    plain["data"]["partition"] = completed(recipe.data.partition, partitioners, "data.partition", "kind")
    plain["task"] = completed(recipe.task, tasks, "task", "kind")
    plain["algorithm"] = completed(recipe.algorithm, algorithms, "algorithm", "name")
    _check_aggregate(recipe, algorithms.get(name)(**{key: value for key, value in plain["algorithm"].items() if key != "name"}))
    plain["prepare"] = [completed(step, prepare_steps, f"prepare.{i}", "kind") for i, step in enumerate(recipe.prepare)]
    plain["finish"] = [completed(step, finish_steps, f"finish.{i}", "kind") for i, step in enumerate(recipe.finish)]
    plain["evaluate"]["probes"] = [
        completed(probe, probes, f"evaluate.probes.{i}", "kind") for i, probe in enumerate(recipe.evaluate.probes)
    ]
    names = [probe.get("name") or probe["kind"] for probe in plain["evaluate"]["probes"]]
    for i, name in enumerate(names):
        if name in names[:i]:
            raise RecipeError(f"evaluate.probes.{i}.name: its measures would be called as those of another; give it a name of its own")
    if recipe.clients.behaviour is not None:
        plain["clients"]["behaviour"] = completed(recipe.clients.behaviour, behaviours, "clients.behaviour", "kind")
    if recipe.clients.beside is not None:
        plain["clients"]["beside"] = completed(recipe.clients.beside, behaviours, "clients.beside", "kind")
    return Recipe.model_validate(plain)


def _check_aggregate(recipe: Recipe, algorithm: Algorithm) -> None:
    """Refuse, before anything is loaded, ways of joining that do not go with what else the recipe wants."""
    if recipe.federation.delay and not algorithm.takes_late:
        raise RecipeError(
            f"federation.delay: {recipe.algorithm.name} waits for every client and takes no late reply; write 0, or use fedbuff"
        )
    adapter, clients = recipe.model.adapter, recipe.federation.clients
    for name, rank in algorithm.ranks.items():
        if adapter is not None and rank > adapter.rank:
            raise RecipeError(f"algorithm.ranks: client '{name}' has rank {rank}, but model.adapter.rank is {adapter.rank}; raise that")
    if clients is not None:
        algorithm.trainers([f"client-{number}" for number in range(clients)])  # local:9 of four clients is refused here
    if algorithm.aggregate == "refactor" and recipe.task.settings.get("keep_optimizer"):
        raise RecipeError("task.keep_optimizer: moments do not fit factors that are made anew in every round (refactor); write false")
    if recipe.model.adapter is None and algorithm.aggregate != "average_factors":
        raise RecipeError(
            f"algorithm.aggregate: {algorithm.aggregate} joins LoRA factors, and model.adapter is null; write average_factors"
        )
