"""The probe `refusals`: how often the joined model declines what it must, and what it need not. Asked on the server, of public prompts."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from statistics import fmean
from typing import Annotated, Any

from pydantic import Field

from fedloom.errors import RecipeError
from fedloom.evaluation.asking import NAME, answers_of, check_like, drawn, prefixed, prefixed_measures, rows_of, text_encoder
from fedloom.evaluation.judges import judges
from fedloom.evaluation.rules import refuses, refuses_legacy
from fedloom.hooks import Probe, ServerSide, probes
from fedloom.measures import SHARE, Measure
from fedloom.registry import PLACE, parts_of
from fedloom.safety.asking import attack_prompts, check_judges, judged, judged_measures, made_judges
from fedloom.safety.policy import load_policy
from fedloom.state import State

REFUSAL = Measure("refusal", "restricted requests declined", SHARE, "higher", alert=0.1)
REFUSAL_LEGACY = Measure("refusal_legacy", "restricted requests declined, by the legacy rule", SHARE, "higher")
OVER_REFUSAL = Measure("over_refusal", "permitted requests declined", SHARE, "lower")


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
    judges: Annotated[
        list[dict[str, Any]],
        Field(json_schema_extra=parts_of(judges), description="further judges, such as {kind: guard, model: ...}"),
    ] = field(default_factory=list)
    name: Annotated[str | None, Field(pattern=NAME, description="what its measures carry before their names, in a second probe")] = None

    def __post_init__(self) -> None:
        if (self.policy is None) == (self.restricted is None):
            raise RecipeError("evaluate.probes: refusals takes its prompts from policy or from restricted; give one of them")
        if self.policy is not None:
            load_policy(self.policy)
        check_like(self.like, "evaluate.probes: refusals")
        made_judges(self.judges)

    def check(self, server: ServerSide) -> None:
        text_encoder(server)
        check_judges(self.judges, server)

    def measures(self) -> list[Measure]:
        return prefixed_measures(self.name, [REFUSAL, REFUSAL_LEGACY, OVER_REFUSAL, *judged_measures(self.judges)])

    def measure(self, state: State, server: ServerSide) -> Mapping[str, float]:
        restricted, permitted = self._requests(server)
        if not restricted:
            raise RecipeError(
                f"evaluate.probes: {self.policy or self.restricted} has no restricted prompt to test with; give it more subjects"
            )
        answers = answers_of(state, server, [*restricted, *permitted], self.max_new_tokens)
        to_restricted, to_permitted = answers[: len(restricted)], answers[len(restricted) :]
        found = {"refusal": _share(map(refuses, to_restricted)), "refusal_legacy": _share(map(refuses_legacy, to_restricted))}
        if permitted:
            found["over_refusal"] = _share(map(refuses, to_permitted))
        found |= judged(made_judges(self.judges), list(zip(restricted, to_restricted, strict=True)))
        return prefixed(self.name, found)

    def asked(self, server: ServerSide) -> list[str]:
        return [prompt for found in self._requests(server) for prompt in found]

    def _requests(self, server: ServerSide) -> tuple[list[str], list[str]]:
        """The restricted and the permitted prompts; those that the attack trains on are none of them."""
        seed, taken = server.recipe.seed, attack_prompts(server)
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
