"""KnowledgeSG (Wang et al. 2024, arXiv 2410.05725): private adapters come up, an expert's knowledge goes down.

On the server, after training: the joined model, which was trained under differential privacy, makes up instructions; those that are like
an example, like another one, or of another domain are left out; an expert that is on the server only answers the others; and an ordinary
adapter is trained on these pairs. Nothing of it touches a private row, so it costs no more privacy (post-processing). The other methods
are the baselines of the paper: who makes up, whether pairs or instructions, and who answers.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field

from fedloom.data.records import Conversation, Provenance
from fedloom.errors import DataError, FedloomError, ModelError, RecipeError
from fedloom.evaluation.asking import check_like, rows_of, text_encoder
from fedloom.hooks import Finished, FinishStep, ServerSide, finish_steps
from fedloom.measures import Measure, counted
from fedloom.privacy.personal_data import require_search
from fedloom.registry import PLACE, parts_of
from fedloom.state import State
from fedloom.streams import numpy_stream
from fedloom.synthesis.domain import load_domain
from fedloom.synthesis.generator import LEAVING, Generator, generators, writer_of
from fedloom.synthesis.generators.loaded import LoadedGenerator
from fedloom.synthesis.likeness import require_likeness
from fedloom.synthesis.making_up import REASONS, Answers, MakingUp, TrainedWriter
from fedloom.tasks import SFT
from fedloom.tuning import tuned


@dataclass(frozen=True)
class Method:
    """Who makes up (the `base` model, or the `joined` one), whether whole pairs or instructions, and how these are answered: by the same
    model `alone` or after `examples`, or by the `expert`."""

    makes_up: Literal["base", "joined"]
    answers: Literal["pair", "alone", "examples", "expert"]


METHODS: Mapping[str, Method | None] = {
    "non_private": None,
    "icl": Method("base", "pair"),
    "self_instruct": Method("base", "alone"),
    "self_instruct_icl": Method("base", "examples"),
    "dp_gen": Method("joined", "pair"),
    "dp_instruct": Method("joined", "alone"),
    "dp_instruct_icl": Method("joined", "examples"),
    "knowledgesg": Method("joined", "expert"),
}
"""The methods of the paper's tables; None: the joined model is handed out as it is."""

MethodName = Literal["non_private", "icl", "self_instruct", "self_instruct_icl", "dp_gen", "dp_instruct", "dp_instruct_icl", "knowledgesg"]


MEASURES = (
    counted("made_up", "instructions made up"),
    counted("kept", "pairs trained on"),
    *(counted(reason, f"left out, {words}") for reason, words in REASONS.items()),
    counted("known", "replies written before"),
    counted("tokens", "tokens written"),
    Measure("seconds", "seconds of writing", "s", "neither"),
)


@finish_steps.register("knowledgesg")
@dataclass(frozen=True)
class KnowledgeSG(FinishStep):
    """Makes up pairs from what the model was trained to say, lets an expert answer them, and trains an ordinary adapter on them."""

    measures: ClassVar[tuple[Measure, ...]] = MEASURES

    method: Annotated[
        MethodName,
        Field(
            description="knowledgesg, or a baseline: non_private (the model as it is), icl and dp_gen (pairs), self_instruct and"
            " dp_instruct (instructions, then answers by the same model; _icl: after examples); dp_ asks the joined model, others the base"
        ),
    ] = "knowledgesg"
    expert: Annotated[
        dict[str, Any] | None,
        Field(
            json_schema_extra=parts_of(generators),
            description="the generator that answers, for method knowledgesg alone: transformers, vllm, endpoint",
        ),
    ] = None
    domain: Annotated[
        str, Field(json_schema_extra=PLACE, description="prompts: general, medicine, finance, or a file of your own in their form")
    ] = "general"
    examples: Annotated[
        str | None, Field(json_schema_extra=PLACE, description="data.source of public pairs that prompts show; null: prompts show none")
    ] = None
    like: Annotated[str | None, Field(description="named set whose columns the examples have")] = None
    shots: Annotated[int, Field(ge=1, le=16, description="examples that a prompt shows, drawn for each")] = 3
    prompts: Annotated[int, Field(ge=1, description="instructions that are made up")] = 1000
    keep: Annotated[int, Field(ge=1, description="pairs that are trained on at the most, the first ones")] = 500
    temperature: Annotated[float, Field(gt=0, description="temperature at which instructions and pairs are made up")] = 0.7
    max_new_tokens: Annotated[int, Field(ge=1, description="length in tokens of what the base or joined model writes")] = 512
    likeness: Annotated[
        str, Field(json_schema_extra=PLACE, description="how instructions are compared: tfidf, words, or an embedder as in u2s")
    ] = "tfidf"
    most_like_example: Annotated[float, Field(ge=0, le=1, description="largest cosine with an example that was shown")] = 0.52
    most_alike: Annotated[float, Field(ge=0, le=1, description="largest cosine with an instruction that was kept before")] = 0.8
    check_domain: Annotated[bool, Field(description="whether the expert is asked if an instruction is one of the domain")] = True
    check_personal_data: Annotated[bool, Field(description="whether pairs with personal data in them are left out (the extra `scrub`)")] = (
        False
    )
    adapters: Annotated[
        Literal["joined", "in_turn"],
        Field(description="which model makes up: the joined one, or each client's own of the last round, in turn"),
    ] = "joined"
    train_from: Annotated[
        Literal["base", "joined"], Field(description="where training on the pairs begins: a fresh adapter, or the joined")
    ] = "base"
    steps: Annotated[int, Field(ge=1, description="optimiser steps")] = 300
    batch_size: Annotated[int, Field(ge=1, description="rows per optimiser step")] = 5
    learning_rate: Annotated[float, Field(gt=0, description="learning rate")] = 2e-5

    def __post_init__(self) -> None:
        method = METHODS[self.method]
        if self.method == "knowledgesg" and self.expert is None:
            raise RecipeError("finish: knowledgesg: expert: is required by method knowledgesg; name a generator, or choose another method")
        if self.examples is None and (self.method == "icl" or (method is not None and method.answers == "examples")):
            raise RecipeError(f"finish: knowledgesg: method {self.method} shows examples; name public pairs in `examples`")
        if self.adapters == "in_turn" and (method is None or method.makes_up == "base"):
            raise RecipeError(f"finish: knowledgesg: adapters in_turn makes up with trained models, and method {self.method} does not")
        check_like(self.like, "finish: knowledgesg")
        _ = self._expert, load_domain(self.domain)

    @property
    def needs_updates(self) -> bool:
        return self.adapters == "in_turn"

    def check(self, server: ServerSide) -> None:
        """Raise RecipeError for a run whose model does not talk, or may say private text; what expert, examples and likeness raise."""
        text_encoder(server)
        method = METHODS[self.method]
        if method is None:
            if server.says is Provenance.DP_RELEASED:
                raise RecipeError(
                    "finish: knowledgesg: method non_private is training without privacy; write privacy: null, or choose another"
                )
            return
        if method.makes_up == "joined" and server.says not in LEAVING:
            raise RecipeError(
                f"finish: knowledgesg: method {self.method} lets a model make up text that was trained on private rows without privacy, and"
                " it could say text of such a row; set the part `privacy`"
            )
        require_likeness(self.likeness)
        if self.check_personal_data:
            require_search()
        if self.examples is not None and self.examples == server.recipe.data.source and server.says is not Provenance.PUBLIC:
            raise RecipeError(
                "finish: knowledgesg: examples: is data.source, whose rows are private, and prompts show examples; name public pairs"
            )
        self._pool()
        if method.answers == "expert" and self._expert:
            try:
                self._expert.check()
            except ModelError as error:
                raise ModelError(f"finish: knowledgesg: expert: {error}") from None

    def described(self) -> Mapping[str, Any]:
        domain = load_domain(self.domain)
        expert = {"expert": dict(self._expert.identity())} if self._expert else {}
        return {
            "kind": "knowledgesg",
            "prompt": {"name": domain.file.name, "version": domain.file.version, "sha256": domain.sha256},
            **expert,
        }

    def apply(self, state: State, server: ServerSide) -> Finished:
        """The state after training on the pairs that were made up. Raises FedloomError, with the counts, when none is left."""
        method = METHODS[self.method]
        if method is None:
            return Finished(state)
        domain, pool, expert = load_domain(self.domain), self._pool(), self._expert
        made = MakingUp(domain, self._writers(method, state, server), expert, server.progress)
        seed, said = server.recipe.seed, server.says if method.makes_up == "joined" else Provenance.PUBLIC
        made.up([self._drawn(pool, "make", number, seed) for number in range(self.prompts)], said, pairs=method.answers == "pair")
        made.leave_out_alike(self.likeness, self.most_like_example, self.most_alike)
        if self.check_personal_data:
            made.leave_out_personal_data()
        if method.answers == "expert" and self.check_domain:
            made.leave_out_other_domains()
        answers: Mapping[str, Answers | None] = {
            "pair": None,
            "expert": made.by_expert,
            "alone": made.by_makers(lambda number: ()),
            "examples": made.by_makers(lambda number: self._drawn(pool, "answer", number, seed)),
        }
        made.keep_first(self.keep, answers[method.answers], self.check_personal_data)
        if not made.left:
            told = ", ".join(f"{reason} {count}" for reason, count in made.counts().items() if count)
            raise FedloomError(f"finish: knowledgesg: none of {self.prompts} instructions that were made up can be used ({told})")
        rows = [item.pair for item in made.left]
        start = server.start if self.train_from == "base" else state
        return Finished(self._trained(start, server, rows), _measured(made), rows, [item.pair for item in made.rejected])

    @property
    def _expert(self) -> Generator | None:
        return None if self.expert is None else writer_of(self.expert, "finish: knowledgesg: expert.kind")

    def _pool(self) -> list[Conversation]:
        """The public examples. Raises DataError when there are fewer than a prompt shows."""
        if self.examples is None:
            return []
        found = [row for row in rows_of(self.examples, self.like, "finish: knowledgesg: examples") if len(row.prompt) == 1]
        if any(row.fields.get("provenance", Provenance.PUBLIC).lower() not in LEAVING for row in found):
            raise DataError(
                f"finish: knowledgesg: examples: {self.examples} holds rows that are neither public nor dp_released by their column"
                " 'provenance', and prompts show them"
            )
        if len(found) < self.shots:
            raise DataError(f"finish: knowledgesg: examples: {self.examples} has {len(found)} pairs, and a prompt shows {self.shots}")
        return found

    def _drawn(self, pool: Sequence[Conversation], purpose: str, number: int, seed: int) -> list[Conversation]:
        """The examples that are shown for the instruction `number`, drawn anew for its making and for its answer."""
        if not pool:
            return []
        return [pool[i] for i in numpy_stream(seed, "knowledgesg-examples", purpose, number).permutation(len(pool))[: self.shots]]

    def _writers(self, method: Method, state: State, server: ServerSide) -> list[TrainedWriter]:
        """The models that make up: the base, the joined one, or each client's own."""
        if method.makes_up == "base":
            states = [server.start]
        else:
            states = [state] if self.adapters == "joined" else [model for _, model in server.updated()]
        return [TrainedWriter(self._writer(one, server), server.bench, one) for one in states]

    def _writer(self, state: State, server: ServerSide) -> Generator:
        bench, encoder, recipe = server.bench, text_encoder(server), server.recipe
        names = {
            "kind": "bench",
            "weights": bench.sha256,
            "model": recipe.model.model_dump(mode="json", exclude={"id", "revision", "device"}),
            "state": state.sha256(),
            "template": encoder.template,
            "max_new_tokens": self.max_new_tokens,
            "temperature": self.temperature,
            "seed": recipe.seed,
        }
        return LoadedGenerator(
            bench.model,
            encoder.tokenizer,
            encoder.template,
            recipe.evaluate.batch_size,
            self.max_new_tokens,
            self.temperature,
            recipe.seed,
            names,
        )

    def _trained(self, start: State, server: ServerSide, rows: Sequence[Conversation]) -> State:
        recipe = server.recipe
        kept = {name: recipe.task.settings[name] for name in ("optimizer", "weight_decay", "max_grad_norm")}
        task = SFT(steps=self.steps, batch_size=self.batch_size, learning_rate=self.learning_rate, **kept)
        return tuned(start, server.bench, task, rows, recipe.seed, "knowledgesg")


def _measured(made: MakingUp) -> dict[str, float]:
    counts = {name: count for name, count in made.counts().items() if count or name in ("made_up", "kept")}
    return {**counts, **made.cost, "seconds": made.seconds}
