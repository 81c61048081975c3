"""The schema of a run, and nothing else. A recipe is YAML with the parts below; each has defaults.

Parts that are chosen by name (task, algorithm, partition, hooks) carry their own settings beside the name. `fedloom.resolve` reads
recipes and checks those settings against the fields of the registered class, so that a user's own algorithm is checked exactly like ours.
"""

from __future__ import annotations

import re
from typing import Annotated, Any, Literal

import yaml
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, model_validator


def _seconds(value: Any) -> Any:
    """'10m', '90s', '1h' or a number of seconds -> seconds."""
    if isinstance(value, str) and (match := re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*(s|m|h)?\s*", value)):
        return float(match[1]) * {"s": 1, "m": 60, "h": 3600, None: 1}[match[2]]
    return value


Duration = Annotated[float, BeforeValidator(_seconds), Field(gt=0)]


class Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, ser_json_inf_nan="constants")


class NamedPart(Part):
    """A part chosen by name, with the settings of what is named beside the name."""

    model_config = ConfigDict(extra="allow", frozen=True, ser_json_inf_nan="constants")

    @property
    def settings(self) -> dict[str, Any]:
        """The keys beside the fixed ones."""
        return dict(self.model_extra or {})


class AdapterRecipe(Part):
    """What is trained on top of the base model."""

    kind: Literal["lora"] = Field("lora", description="what is added to the base model: low-rank factors A and B beside each target")
    rank: int = Field(16, ge=1, le=16_384, description="rank r of the LoRA factors")
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
    running_statistics: Literal["carried", "frozen"] | None = Field(
        None,
        description="of a network with BatchNorm: carried (what null means), sent and averaged beside the weights; frozen: those of the"
        " start are used in training too",
    )

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
    input: str | None = Field(
        None, description="column of an input that is joined to the instruction, or to a prompt, by a space; rows may leave it empty"
    )
    history: str | None = Field(
        None, description="column of earlier turns, before the instruction: a list of [question, answer] pairs, or of {role, content}"
    )
    response: str | None = Field(None, description="column of the response or answer")
    messages: str | None = Field(
        None,
        description="column of a conversation: a list of {role, content} or {from, value}; every assistant turn is trained on, and the last"
        " one is the response that baselines and partitions see",
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
        "evals:NAME,..., FORM:PLACE such as pictures:FOLDER, cifar10:FOLDER or fed-aya:FILE, several as join:SOURCE,SOURCE,... (a client "
        "each with partition by_source), or the K-th of N disjoint parts of one as part:K/N:SOURCE",
    )
    like: str | None = Field(None, description="read the columns of the source as those of this named set, such as medalpaca-flashcards")
    subset: str | None = Field(None, description="configuration name of a hub data set")
    split: str | None = Field(
        None, description="split of a hub data set or a named set of pictures; null: train, or the one that a named set is trained on"
    )
    fields: FieldsRecipe = Field(default_factory=FieldsRecipe)
    provenance: Literal["private", "public"] | None = Field(
        None,
        description="private text stays with its client and is never shown; null: public for the demos and the hub, private for all else",
    )
    template: Literal["chat", "alpaca", "vicuna"] | None = Field(
        None, description="how a conversation becomes text: the tokenizer's own chat template (the default), alpaca or vicuna"
    )
    partition: PartitionRecipe = Field(default_factory=PartitionRecipe)
    held_out: float = Field(0.15, ge=0, lt=1, description="share of every client's rows kept for evaluation, never trained on")
    held_out_by: Literal["random", "answer"] = Field(
        "random",
        description="answer: of each answer's rows the same share is held out, so that the commonest answer in training is the commonest of"
        " what is measured, too; random: any rows",
    )
    duplicates: Literal["keep", "drop"] = Field(
        "keep", description="drop: rows that some client holds out are not trained on by any client whose rows are here; keep: counted"
    )
    limit: int | None = Field(
        None, ge=1, description="use at most this many rows of the source (of each that is joined), drawn by the seed"
    )
    max_length: int | None = Field(
        None,
        ge=8,
        description="longest conversation in tokens (default 512); longer ones lose their end, and the share of such rows is reported",
    )
    picture_size: int | None = Field(
        None,
        ge=1,
        description="height and width in pixels to which the middle square of every picture is scaled; null: as they are, all of one size",
    )


class TaskRecipe(NamedPart):
    """What a client optimises."""

    kind: str = Field("sft", description="a registered task")


class AlgorithmRecipe(NamedPart):
    """How updates are joined."""

    name: str = Field("fedavg", description="a registered algorithm")
    defaults: dict[str, dict[str, Any]] = Field(
        default_factory=dict,
        description="settings by the names of algorithms: when one of these is the chosen one, they hold where nothing stands beside its"
        " name, as in {fedadam: {beta1: 0.5}}",
    )


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
    max_update_norm: Annotated[float, Field(gt=0)] | Literal["auto"] | None = Field(
        "auto",
        description="refuse an update whose Euclidean norm is larger. auto: a round with one that is 1,000 times as long as the median is"
        " done again without that client; null: no such bound",
    )

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
    """Simulated malicious clients, to measure an attack and its defences: a red-team run."""

    malicious: int = Field(0, ge=0, description="how many clients are malicious; which ones is drawn by the seed")
    behaviour: HookRecipe | None = Field(None, description="what they do: a registered behaviour")
    beside: HookRecipe | None = Field(
        None, description="behaviour of the attack that this run is compared with: probes do not ask what it trains on"
    )

    @model_validator(mode="after")
    def _belong_together(self) -> ClientsRecipe:
        if (self.malicious > 0) != (self.behaviour is not None):
            raise ValueError("malicious and behaviour belong together; set both, or neither")
        return self


class EvaluateRecipe(Part):
    """What is measured on held-out data."""

    every: int = Field(4, ge=0, description="evaluate the joined model every so many rounds, and after the last; 0: never")
    baselines: list[Literal["base", "majority", "local", "centralized", "finetuned", "clustered"]] = Field(
        default=["base"],
        description="what the joined model is compared with: base, majority answer, each client alone, all data in one place; finetuned:"
        " each client tunes the joined model further, for its own rows; clustered: federations within `clusters`",
    )
    local_clients: int = Field(
        0,
        ge=0,
        description="of the baseline local: so many clients, drawn by the seed, are asked the suites, each with its own model; the mean"
        " over them is the system `local`",
    )
    finetune_steps: int = Field(10, ge=1, description="optimiser steps of each client for the baseline finetuned")
    clusters: HookRecipe | None = Field(None, description="which clients belong together, for the baseline clustered: by_field or by_text")
    source: str | None = Field(
        None,
        description="what is measured in place of held-out rows, such as gold rows beside a model trained on written ones: as data.source."
        " Each row is measured by the client that it names, in the column that the partition goes by or in `client`; without that column"
        " rows are dealt out",
    )
    like: str | None = Field(None, description="read the columns of evaluate.source as those of this named set")
    split: str | None = Field(None, description="split of evaluate.source, as data.split")
    provenance: Literal["private", "public"] | None = Field(None, description="of evaluate.source, as data.provenance")
    max_rows: int | None = Field(None, ge=1, description="held-out rows used per client; null: all")
    batch_size: int = Field(16, ge=1, description="rows per forward pass")
    samples: int = Field(
        1,
        ge=0,
        le=1000,
        description="answers per client (of up to 12) generated before and after, from PUBLIC data only, for the report;"
        " 0 in place of the default where the algorithm leaves parts of the model with the clients",
    )
    max_new_tokens: int = Field(32, ge=1, le=4096, description="length of such an answer")
    membership: bool = Field(
        False,
        description="after the last round each client measures how well its training rows are told from its held-out rows by their loss,"
        " and by RMIA where the model was trained before; it answers with areas under curves (0.5: not at all). Also of the baselines that"
        " train",
    )
    probes: list[HookRecipe] = Field(default_factory=list, description="what else is measured of the joined model, on the server")
    suites: list[HookRecipe] = Field(
        default_factory=list,
        description="benchmark suites that the base and the joined model are asked when the run is over, and `local_clients` of the clients"
        " alone; `fedloom evaluate` lists them",
    )

    @model_validator(mode="after")
    def _clusters_told(self) -> EvaluateRecipe:
        if ("clustered" in self.baselines) != (self.clusters is not None):
            raise ValueError("clusters: belongs to the baseline clustered; set both, or neither")
        return self

    @model_validator(mode="after")
    def _local_trained(self) -> EvaluateRecipe:
        if self.local_clients and "local" not in self.baselines:
            raise ValueError("local_clients: are of the baseline local; name local in baselines, or write 0")
        return self

    @model_validator(mode="after")
    def _suites_once(self) -> EvaluateRecipe:
        kinds = [suite.kind for suite in self.suites]
        if twice := [kind for kind in kinds if kinds.count(kind) > 1]:
            raise ValueError(f"suites: {twice[0]} stands there twice; name each suite once")
        return self


class PrivacyRecipe(Part):
    """Differential privacy of what leaves a client."""

    unit: Literal["row", "client"] = Field(
        "row", description="what is protected: row, a row that is trained on; client, all that a client has"
    )
    epsilon: float | None = Field(
        None,
        gt=0,
        allow_inf_nan=False,
        description="the most that may be spent on a client's rows, over all rounds and runs; null with noise_multiplier: no bound",
    )
    delta: float = Field(1e-5, gt=0, lt=1, description="probability with which epsilon may not hold; below 1 / rows, or 1 / clients")
    clip: float = Field(
        1.0,
        gt=0,
        allow_inf_nan=False,
        description="Euclidean norm that the gradient of every row, or the update of a client, is clipped to",
    )
    clip_quantile: float | None = Field(
        None,
        gt=0,
        lt=1,
        description="with unit client and noise_at server: `clip` is the norm of the first round, and then follows this quantile of the"
        " updates' norms, which is paid for; null: it stays",
    )
    noise_multiplier: float | None = Field(
        None,
        gt=0,
        allow_inf_nan=False,
        description="standard deviation of the noise, in clipping norms; null: the least that keeps epsilon over all steps of all rounds",
    )
    noise_at: Literal["server", "clients"] = Field(
        "server", description="with unit client: who adds the noise to the sum of updates, the server, or every client a share of it"
    )
    ledger: Literal["rows", "run"] = Field(
        "rows",
        description="rows: what other runs have spent on the same rows counts; run: it does not, for PUBLIC rows alone, as in studies",
    )

    @model_validator(mode="after")
    def _bounded(self) -> PrivacyRecipe:
        if self.epsilon is None and self.noise_multiplier is None:
            raise ValueError("epsilon: is required, or noise_multiplier in its place; write epsilon: 8 for a start")
        return self

    @model_validator(mode="after")
    def _server_counts(self) -> PrivacyRecipe:
        if self.clip_quantile is not None and (self.unit, self.noise_at) != ("client", "server"):
            raise ValueError("clip_quantile: goes with unit: client and noise_at: server, who counts the updates within the norm")
        return self


class Recipe(Part):
    """A whole run."""

    name: str = Field("run", pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$", description="name of the run, part of its folder's name")
    model: ModelRecipe = Field(default_factory=ModelRecipe)
    data: DataRecipe = Field(default_factory=DataRecipe)
    task: TaskRecipe = Field(default_factory=TaskRecipe)
    algorithm: AlgorithmRecipe = Field(default_factory=AlgorithmRecipe)
    federation: FederationRecipe = Field(default_factory=FederationRecipe)
    clients: ClientsRecipe = Field(default_factory=ClientsRecipe)
    privacy: PrivacyRecipe | None = Field(None, description="null: no formal privacy guarantee beyond data staying with its client")
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
