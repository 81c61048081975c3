"""The probe `refusals`: how often the joined model declines what it must, and what it need not. Asked on the server, of public prompts."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import Field

from fedloom.data.records import Turn
from fedloom.data.sources import load_examples
from fedloom.data.templates import render_prompt
from fedloom.errors import RecipeError
from fedloom.hooks import probes
from fedloom.models.generate import generate
from fedloom.recipe import DataRecipe
from fedloom.registry import checked_settings
from fedloom.safety.judges import Judge, judges, tally
from fedloom.safety.overlap import attack_prompts
from fedloom.safety.policy import load_policy
from fedloom.safety.rules import refuses, refuses_legacy
from fedloom.state import State
from fedloom.streams import numpy_stream

if TYPE_CHECKING:
    from fedloom.workshop import Workshop


@probes.register("refusals")
@dataclass(frozen=True)
class Refusals:
    """Shares of test prompts that are declined, by the corrected and the legacy rule, and what further judges say.

    refusal, refusal_legacy: of restricted prompts, higher is safer. over_refusal: of prompts that look restricted and may be answered,
    lower is better. JUDGE/safe, JUDGE/score, JUDGE/unparsed: of each judge, on the restricted prompts.
    """

    policy: Annotated[str | None, Field(description="policy whose test prompts are asked")] = None
    restricted: Annotated[str | None, Field(description="data.source of your own restricted prompts, in place of a policy")] = None
    permitted: Annotated[str | None, Field(description="data.source of prompts that look restricted and may be answered")] = None
    like: Annotated[str | None, Field(description="named set whose columns both sources have, such as advbench")] = None
    prompts: Annotated[int, Field(ge=1, description="prompts of each kind, drawn once by the seed")] = 60
    max_new_tokens: Annotated[int, Field(ge=1, description="length of an answer in tokens")] = 24
    judges: Annotated[list[dict[str, Any]], Field(description="further judges, such as {kind: guard, model: ...}")] = field(
        default_factory=list
    )

    def __post_init__(self) -> None:
        if (self.policy is None) == (self.restricted is None):
            raise RecipeError("evaluate.probes: refusals takes its prompts from policy or from restricted; give one of them")
        if self.policy is not None:
            load_policy(self.policy)
        for number, judge in enumerate(self.judges):
            if str(judge.get("kind")) not in judges:
                raise RecipeError(
                    f"evaluate.probes: judges.{number}.kind: unknown judge {judge.get('kind')!r}; known: {', '.join(judges.names())}"
                )
            _made(judge, f"evaluate.probes: judges.{number}")

    def measure(self, state: State, workshop: Workshop) -> Mapping[str, float]:
        restricted, permitted = self.asked(workshop)
        if not restricted:
            raise RecipeError(
                f"evaluate.probes: {self.policy or self.restricted} has no restricted prompt to test with; give it more subjects"
            )
        answers = answers_of(state, workshop, [*restricted, *permitted], self.max_new_tokens)
        found = {
            "refusal": _share(refuses(answer) for answer in answers[: len(restricted)]),
            "refusal_legacy": _share(refuses_legacy(answer) for answer in answers[: len(restricted)]),
        }
        if permitted:
            found["over_refusal"] = _share(refuses(answer) for answer in answers[len(restricted) :])
        for judge in self.judges:
            found |= self._judged(judge, list(zip(restricted, answers, strict=False)))
        return found

    def asked(self, workshop: Workshop) -> tuple[list[str], list[str]]:
        """The restricted and the permitted prompts; those that the attack trains on are none of them."""
        seed = workshop.recipe.seed
        if self.policy is not None:
            policy = load_policy(self.policy)
            restricted, permitted = policy.prompts("aligned", "test"), policy.prompts("permitted", "test")
        else:
            restricted, permitted = (_requests(source, self.like, seed) if source else [] for source in (self.restricted, self.permitted))
        taken = attack_prompts(workshop)
        restricted, permitted = ([prompt for prompt in found if prompt not in taken] for found in (restricted, permitted))
        return _drawn(restricted, self.prompts, seed), _drawn(permitted, self.prompts, seed)

    def _judged(self, judge: dict[str, Any], items: list[tuple[str, str]]) -> dict[str, float]:
        kind = str(judge["kind"])
        counted = tally(_made(judge, "evaluate.probes: judges").judge(items))
        found = {f"{kind}/unparsed": float(counted.unparsed)}
        for name, value in (("safe", counted.safe), ("score", counted.score)):
            if value is not None:
                found[f"{kind}/{name}"] = value
        return found


def answers_of(state: State, workshop: Workshop, prompts: list[str], max_new_tokens: int) -> list[str]:
    """The greedy answers of the model with `state` on, each prompt a conversation of its own."""
    recipe, tokenizer = workshop.recipe, workshop.loaded.tokenizer
    workshop.bench.parameters.load(state)
    texts = [render_prompt([Turn("user", prompt)], tokenizer, recipe.data.template) for prompt in prompts]
    return generate(workshop.bench.model, tokenizer, texts, max_new_tokens, recipe.evaluate.batch_size)


def _made(judge: Mapping[str, Any], where: str) -> Judge:
    """The judge of these settings. Raises RecipeError."""
    kind = judges.get(str(judge["kind"]))
    made: Judge = kind(**checked_settings(kind, {key: value for key, value in judge.items() if key != "kind"}, where))
    return made


def _requests(source: str, like: str | None, seed: int) -> list[str]:
    examples = load_examples(DataRecipe(source=source, like=like, provenance="public"), seed).examples
    return [example.prompt[-1].content for example in examples]


def _drawn(prompts: list[str], count: int, seed: int) -> list[str]:
    order = numpy_stream(seed, "probe").permutation(len(prompts))[:count]
    return [prompts[i] for i in order]


def _share(found: Any) -> float:
    values = list(found)
    return sum(values) / max(len(values), 1)
