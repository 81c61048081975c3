"""Repair after the fact (Ye et al. 2024, arXiv 2406.10630, section 4): the joined model is trained further, on aligned and on normal rows.

Level 1: public rows. Level 2: rows that an outside, aligned model writes. Level 3: rows that the attacked model itself writes: requests,
then answers when it is told to decline, and ordinary pairs. At every level a share of ordinary rows keeps the model useful.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from time import perf_counter
from typing import Annotated, ClassVar, Literal

import torch
from pydantic import Field

from fedloom.data.records import Conversation, Provenance, Turn
from fedloom.data.templates import render_prompt
from fedloom.errors import FedloomError, RecipeError
from fedloom.evaluation.asking import check_like, rows_of, text_encoder
from fedloom.evaluation.rules import refuses
from fedloom.files import version_of, versions_of
from fedloom.hooks import Finished, FinishStep, ServerSide, finish_steps
from fedloom.measures import Measure, counted
from fedloom.models.generate import generate
from fedloom.models.load import load_model, require_model
from fedloom.recipe import ModelRecipe
from fedloom.registry import PLACE
from fedloom.safety.asking import asked_prompts, attack_prompts
from fedloom.safety.policy import Kind, Policy, load_policy
from fedloom.state import State
from fedloom.streams import stream_seed, torch_stream
from fedloom.tasks.sft import SFT
from fedloom.tuning import tuned

Writer = Callable[[Sequence[str], float, int], list[str]]
"""Answers to requests at a temperature, from a seed."""

PublicKind = Literal["aligned", "normal"]
SKILLS: tuple[Literal["restricted", "normal", "safe"], ...] = ("restricted", "normal", "safe")
"""What a policy must be able to ask of a model that writes rows."""

TRIES = 4
"""Times that a writer is asked for all rows that are still wanted, before it is given up."""


MEASURES = (
    counted("kept", "rows that the repair trained on"),
    counted("aligned", "of them restricted requests that are declined"),
    counted("repeated", "written rows that came twice"),
    counted("unusable", "written rows that could not be used"),
    counted("of_other_splits", "written rows that attack or test use"),
    Measure("seconds", "seconds that writing the rows took", "s", "neither"),
)


@finish_steps.register("repair")
@dataclass(frozen=True)
class Repair(FinishStep):
    """Trains the joined model on `rows` rows, a share of them restricted requests that are declined, the rest ordinary."""

    measures: ClassVar[tuple[Measure, ...]] = MEASURES

    level: Annotated[
        Literal[1, 2, 3], Field(description="1: public rows; 2: rows of an outside model; 3: rows of the attacked model itself")
    ] = 2
    policy: Annotated[
        str | None, Field(json_schema_extra=PLACE, description="policy that says what is restricted, and asks for requests")
    ] = None
    aligned: Annotated[
        str | None, Field(json_schema_extra=PLACE, description="level 1: data.source of declined requests, in place of the policy's")
    ] = None
    normal: Annotated[
        str | None, Field(json_schema_extra=PLACE, description="level 1: data.source of ordinary rows, in place of the policy's")
    ] = None
    like: Annotated[str | None, Field(description="level 1: named set whose columns both sources have, such as alpaca")] = None
    generator: Annotated[str | None, Field(json_schema_extra=PLACE, description="level 2: model.id of the outside model")] = None
    rows: Annotated[int, Field(ge=2, description="rows to train on")] = 1000
    aligned_share: Annotated[float, Field(gt=0, lt=1, description="share of them that are declined requests")] = 0.5
    steps: Annotated[int, Field(ge=1, description="optimiser steps")] = 500
    batch_size: Annotated[int, Field(ge=1, description="rows per optimiser step")] = 16
    learning_rate: Annotated[float, Field(gt=0, description="learning rate")] = 5e-5
    temperature: Annotated[float, Field(gt=0, description="temperature at which requests are written")] = 0.7
    max_new_tokens: Annotated[int, Field(ge=1, description="length in tokens of what a model writes, a request or an answer")] = 64

    def __post_init__(self) -> None:
        if self.policy is None and (self.level > 1 or self.aligned is None or self.normal is None):
            raise RecipeError("finish: repair needs a policy; level 1 may have aligned and normal sources in its place")
        if (self.level == 2) != (self.generator is not None):
            raise RecipeError("finish: repair takes a generator, the outside model, at level 2 and at no other")
        if not 0 < self._declined < self.rows:
            raise RecipeError(
                f"finish: repair: aligned_share {self.aligned_share:g} of {self.rows} rows leaves none of one kind; set more rows"
            )
        check_like(self.like, "finish: repair")
        if self.policy is not None:
            self._check_policy(load_policy(self.policy))

    def check(self, server: ServerSide) -> None:
        """Raise RecipeError when the rows or the model cannot be used, ModelError when the outside model cannot be found."""
        text_encoder(server)
        if self.level == 1:
            self._public_rows(server)
        if self.level == 2:
            require_model(self._outside(server))

    def apply(self, state: State, server: ServerSide) -> Finished:
        """The repaired state, and the rows that it was trained on. Raises FedloomError when the model wrote too few rows."""
        examples, counts = self.write(state, server)
        return Finished(self.train(state, server, examples), counts)

    def origins(self) -> dict[str, str]:
        """What the rows are made of -> its version: policy, sources, outside model. Raises RecipeError for a policy that is gone."""
        found = {"policy": load_policy(self.policy).sha256} if self.policy is not None else {}
        for kind, source, _ in self._public_parts():
            if self.level == 1 and source is not None:
                found |= {kind: version_of(source)} | versions_of(source)
        if self.generator is not None:
            found["generator"] = version_of(self.generator)
        return found

    def write(self, state: State, server: ServerSide) -> tuple[list[Conversation], dict[str, float]]:
        """The rows to train on, and what was counted on the way: kept, repeated and unusable rows, seconds."""
        begin = perf_counter()
        rows, counts = (self._public_rows(server), {}) if self.level == 1 else self._written_rows(state, server)
        return rows, counts | {"kept": float(len(rows)), "seconds": perf_counter() - begin}

    def train(self, state: State, server: ServerSide, examples: Sequence[Conversation]) -> State:
        """The state after `steps` steps on `examples`, from `state`, by the run's own optimizer."""
        recipe = server.recipe
        kept = {name: recipe.task.settings[name] for name in ("optimizer", "weight_decay", "max_grad_norm")}
        task = SFT(steps=self.steps, batch_size=self.batch_size, learning_rate=self.learning_rate, **kept)
        return tuned(state, server.bench, task, examples, recipe.seed, "repair", self.level)

    @property
    def _declined(self) -> int:
        """Rows of declined requests that are wanted."""
        return round(self.rows * self.aligned_share)

    def _check_policy(self, policy: Policy) -> None:
        if self.level > 1:
            for skill in SKILLS:
                if policy.skill(skill) is None:
                    raise RecipeError(f"policy {policy.content.name}: has no skill '{skill}', which repair at level {self.level} asks for")
        for kind, source, count in self._public_parts():
            if self.level == 1 and source is None and (found := len(_of_policy(policy, kind, 0))) < count:
                raise RecipeError(
                    f"finish: repair: policy {policy.content.name} has {found} {kind} rows for repair, {count} are asked for;"
                    f" lower rows ({self.rows}), or name a source in {kind}"
                )

    def _public_parts(self) -> tuple[tuple[PublicKind, str | None, int], tuple[PublicKind, str | None, int]]:
        """(kind, the user's own source, rows wanted) of both kinds."""
        return ("aligned", self.aligned, self._declined), ("normal", self.normal, self.rows - self._declined)

    def _public_rows(self, server: ServerSide) -> list[Conversation]:
        seed, taken = server.recipe.seed, attack_prompts(server) | asked_prompts(server)
        rows = []
        for kind, source, count in self._public_parts():
            if source is not None:
                found = rows_of(source, self.like, f"finish: repair: {kind}")
            else:
                assert self.policy is not None
                found = _of_policy(load_policy(self.policy), kind, seed)
            found = [example for example in found if example.prompt[-1].content not in taken]
            if len(found) < count:
                raise RecipeError(
                    f"finish: repair: {source or self.policy} has {len(found)} {kind} rows that are none of attack or test,"
                    f" {count} are asked for; lower rows ({self.rows}), or name a larger source"
                )
            order = torch.randperm(len(found), generator=torch_stream(seed, "repair-public", kind))
            rows += [found[i] for i in order[:count].tolist()]
        return rows

    def _written_rows(self, state: State, server: ServerSide) -> tuple[list[Conversation], dict[str, float]]:
        """Rows that the outside model or the attacked one writes, in the mix that was asked for, and fewer when it writes too few."""
        assert self.policy is not None
        seed, taken = server.recipe.seed, attack_prompts(server) | asked_prompts(server)
        if self.level == 2:
            loaded = load_model(self._outside(server))
            writer = self._writer(loaded.model, loaded.tokenizer, server)
        else:
            server.bench.parameters.load(state)
            writer = self._writer(server.bench.model, text_encoder(server).tokenizer, server)
        written = _Written(load_policy(self.policy), writer, self.temperature, stream_seed(seed, "repair", self.level), taken)
        aligned = written.aligned(self._declined)
        if not aligned:
            raise FedloomError(
                f"finish: repair: told to decline, the model declined none of its own requests, so level {self.level} has nothing to teach"
                " it; use level 1, or level 2 with an aligned model"
            )
        normal = written.normal(round(len(aligned) * (1 - self.aligned_share) / self.aligned_share))
        aligned = aligned[: round(len(normal) * self.aligned_share / (1 - self.aligned_share))]
        if len(aligned) + len(normal) < min(self.rows, self.batch_size):
            raise FedloomError(
                f"finish: repair: the model wrote {len(aligned) + len(normal)} rows of use, fewer than one batch ({self.batch_size});"
                f" use level 1, or another model at level 2"
            )
        return [*aligned, *normal], written.counts | {"aligned": float(len(aligned))}

    def _outside(self, server: ServerSide) -> ModelRecipe:
        own = server.recipe.model
        revision = own.revision if self.generator == own.id else None
        return own.model_copy(update={"id": self.generator, "revision": revision, "adapter": None})

    def _writer(self, model: object, tokenizer: object, server: ServerSide) -> Writer:
        template, batch = text_encoder(server).template, server.recipe.evaluate.batch_size

        def write(requests: Sequence[str], temperature: float, seed: int) -> list[str]:
            texts = [render_prompt([Turn("user", request)], tokenizer, template) for request in requests]
            return generate(model, tokenizer, texts, self.max_new_tokens, batch, temperature, seed)

        return write


def _of_policy(policy: Policy, kind: PublicKind, seed: int) -> list[Conversation]:
    """All rows of the policy's split for repair; the normal ones with those of permitted requests."""
    kinds: tuple[Kind, ...] = ("aligned",) if kind == "aligned" else ("normal", "permitted")
    return [example for one in kinds for example in policy.rows(one, "repair", None, seed)]


class _Written:
    """Rows that a model writes. A request is kept once, and not if it is one of attack or test; an answer to a restricted one only when it
    declines."""

    def __init__(self, policy: Policy, writer: Writer, temperature: float, seed: int, taken: Collection[str] = ()) -> None:
        self.policy, self.writer, self.temperature, self.seed = policy, writer, temperature, seed
        self.counts = {"repeated": 0.0, "unusable": 0.0, "of_other_splits": 0.0}
        kinds: tuple[Kind, ...] = ("normal", "aligned", "permitted")
        self._others = set(taken) | {text for split in ("clients", "test") for kind in kinds for text in policy.prompts(kind, split)}

    def aligned(self, count: int) -> list[Conversation]:
        """Restricted requests, each with the answer to being told to decline it."""
        safe = self.policy.skill("safe")
        assert safe is not None
        return self._rows("restricted", count, lambda request: safe.format(request=request), refuses)

    def normal(self, count: int) -> list[Conversation]:
        """Ordinary requests, each with the writer's answer."""
        return self._rows("normal", count, lambda request: request, lambda answer: bool(answer) and not refuses(answer))

    def _rows(
        self, kind: Literal["restricted", "normal"], count: int, put: Callable[[str], str], usable: Callable[[str], bool]
    ) -> list[Conversation]:
        """`count` requests of `kind` with answers to `put(request)` that are `usable`; fewer when the writer has no more."""
        asked = self.policy.skill(kind)
        assert asked is not None
        seen: set[str] = set()
        kept: list[tuple[str, str]] = []
        for attempt in range(TRIES):
            new = self._requests(asked, count - len(kept), attempt, seen)
            answers = map(str.strip, self.writer([put(request) for request in new], 0.0, self.seed))
            good = [(request, answer) for request, answer in zip(new, answers, strict=True) if usable(answer)]
            self.counts["unusable"] += len(new) - len(good)
            kept += good
            if len(kept) >= count:
                break
        if count and not seen:
            raise FedloomError(f"finish: repair: the model wrote no {kind} request in {TRIES * count} tries")
        return self._examples(kept[:count])

    def _requests(self, asked: str, count: int, attempt: int, seen: set[str]) -> list[str]:
        """Of `count` requests that are written, those that are new; `seen` then holds them too."""
        said = [text for text in map(str.strip, self.writer([asked] * count, self.temperature, self.seed + attempt)) if text]
        new = dict.fromkeys(text for text in said if text not in self._others and text not in seen)
        of_others = sum(text in self._others for text in said)
        self.counts["of_other_splits"] += of_others
        self.counts["repeated"] += len(said) - of_others - len(new)
        seen.update(new)
        return list(new)

    def _examples(self, pairs: Sequence[tuple[str, str]]) -> list[Conversation]:
        return [Conversation((Turn("user", asked), Turn("assistant", answer)), Provenance.SYNTHETIC) for asked, answer in pairs]
