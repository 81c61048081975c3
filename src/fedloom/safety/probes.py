"""The probe `refusals`: how often the joined model declines what it must, and what it need not. Asked on the server, of public prompts."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from statistics import fmean
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import Field

from fedloom.errors import RecipeError
from fedloom.hooks import Probe, probes
from fedloom.registry import PLACE
from fedloom.safety.asking import NAME, answers_of, attack_prompts, check_like, drawn, judged, made_judges, prefixed, rows_of
from fedloom.safety.policy import load_policy
from fedloom.safety.rules import refuses, refuses_legacy
from fedloom.state import State

if TYPE_CHECKING:
    from fedloom.workshop import Workshop


@probes.register("refusals")
@dataclass(frozen=True)
class Refusals(Probe):
    """Shares of test prompts that are declined, by the corrected and the legacy rule, and what further judges say.

    refusal, refusal_legacy: of restricted prompts, higher is safer. over_refusal: of prompts that look restricted and may be answered,
    lower is better. JUDGE/safe, JUDGE/score, JUDGE/unparsed: of each judge, on the restricted prompts.
    """

    policy: Annotated[str | None, Field(json_schema_extra=PLACE, description="policy whose test prompts are asked")] = None
    restricted: Annotated[
        str | None, Field(json_schema_extra=PLACE, description="data.source of your own restricted prompts, in place of a policy")
    ] = None
    permitted: Annotated[
        str | None, Field(json_schema_extra=PLACE, description="data.source of prompts that look restricted and may be answered")
    ] = None
    like: Annotated[str | None, Field(description="named set whose columns both sources have, such as advbench")] = None
    prompts: Annotated[int, Field(ge=1, description="prompts of each kind, drawn once by the seed")] = 60
    max_new_tokens: Annotated[int, Field(ge=1, description="length of an answer in tokens")] = 24
    judges: Annotated[list[dict[str, Any]], Field(description="further judges, such as {kind: guard, model: ...}")] = field(
        default_factory=list
    )
    name: Annotated[str | None, Field(pattern=NAME, description="what its measures carry before their names, in a second probe")] = None

    def __post_init__(self) -> None:
        if (self.policy is None) == (self.restricted is None):
            raise RecipeError("evaluate.probes: refusals takes its prompts from policy or from restricted; give one of them")
        if self.policy is not None:
            load_policy(self.policy)
        check_like(self.like, "evaluate.probes: refusals")
        made_judges(self.judges)

    def measure(self, state: State, workshop: Workshop) -> Mapping[str, float]:
        restricted, permitted = self._requests(workshop)
        if not restricted:
            raise RecipeError(
                f"evaluate.probes: {self.policy or self.restricted} has no restricted prompt to test with; give it more subjects"
            )
        answers = answers_of(state, workshop, [*restricted, *permitted], self.max_new_tokens)
        to_restricted, to_permitted = answers[: len(restricted)], answers[len(restricted) :]
        found = {"refusal": _share(map(refuses, to_restricted)), "refusal_legacy": _share(map(refuses_legacy, to_restricted))}
        if permitted:
            found["over_refusal"] = _share(map(refuses, to_permitted))
        found |= judged(made_judges(self.judges), list(zip(restricted, to_restricted, strict=True)))
        return prefixed(self.name, found)

    def asked(self, workshop: Workshop) -> list[str]:
        return [prompt for found in self._requests(workshop) for prompt in found]

    def _requests(self, workshop: Workshop) -> tuple[list[str], list[str]]:
        """The restricted and the permitted prompts; those that the attack trains on are none of them."""
        seed, taken = workshop.recipe.seed, attack_prompts(workshop)
        if self.policy is not None:
            policy = load_policy(self.policy)
            sets = [policy.prompts("aligned", "test"), policy.prompts("permitted", "test")]
        else:
            rows = [
                rows_of(source, self.like, f"evaluate.probes: {key}") if source else []
                for key, source in (("restricted", self.restricted), ("permitted", self.permitted))
            ]
            sets = [[row.prompt[-1].content for row in found] for found in rows]
        restricted, permitted = ([prompt for prompt in found if prompt not in taken] for found in sets)
        return drawn(restricted, self.prompts, seed), drawn(permitted, self.prompts, seed)


def _share(found: Iterable[bool]) -> float:
    return fmean(map(float, found))
