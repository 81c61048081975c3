"""The probe `helpfulness`: how good the joined model's answers to ordinary requests are, by judges. Asked on the server."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from statistics import fmean
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import Field

from fedloom.data.records import Example
from fedloom.errors import RecipeError
from fedloom.hooks import Probe, probes
from fedloom.registry import PLACE
from fedloom.safety.asking import NAME, answers_of, check_like, drawn, judged, made_judges, prefixed, rows_of
from fedloom.safety.judges import LlmJudge
from fedloom.safety.policy import load_policy
from fedloom.state import State

if TYPE_CHECKING:
    from fedloom.workshop import Workshop


@probes.register("helpfulness")
@dataclass(frozen=True)
class Helpfulness(Probe):
    """What judges say of answers to ordinary test prompts.

    JUDGE/score: their mean rating (llm: 1 to 10). JUDGE/wins, of an llm judge: the share of answers that are preferred to the row's own
    answer, a tie counting half, every pair asked in both orders (Zheng et al. 2023, arXiv 2306.05685). JUDGE/unparsed and
    JUDGE/wins_unparsed: verdicts that could not be read, which are never averaged in.
    """

    policy: Annotated[str | None, Field(json_schema_extra=PLACE, description="policy whose ordinary test prompts are asked")] = None
    source: Annotated[
        str | None, Field(json_schema_extra=PLACE, description="data.source of prompts with answers of your own, in place of a policy")
    ] = None
    like: Annotated[str | None, Field(description="named set whose columns `source` has")] = None
    prompts: Annotated[int, Field(ge=1, description="prompts, drawn once by the seed")] = 40
    max_new_tokens: Annotated[int, Field(ge=1, description="length of an answer in tokens")] = 128
    judges: Annotated[list[dict[str, Any]], Field(description="judges, such as {kind: llm, model: ...}")] = field(default_factory=list)
    name: Annotated[str, Field(pattern=NAME, description="what its measures carry before their names")] = "helpfulness"

    def __post_init__(self) -> None:
        if (self.policy is None) == (self.source is None):
            raise RecipeError("evaluate.probes: helpfulness takes its prompts from policy or from source; give one of them")
        if not made_judges(self.judges):
            raise RecipeError("evaluate.probes: helpfulness needs judges, such as {kind: llm, model: ...}")
        if self.policy is not None:
            load_policy(self.policy)
        check_like(self.like, "evaluate.probes: helpfulness")

    def measure(self, state: State, workshop: Workshop) -> Mapping[str, float]:
        rows = self._rows(workshop)
        if not rows:
            raise RecipeError(f"evaluate.probes: {self.policy or self.source} has no ordinary prompt to test with")
        prompts = [row.prompt[-1].content for row in rows]
        answers = answers_of(state, workshop, prompts, self.max_new_tokens)
        made = made_judges(self.judges)
        found = judged(made, list(zip(prompts, answers, strict=True)))
        pairs = [(prompt, answer, row.response) for prompt, answer, row in zip(prompts, answers, rows, strict=True)]
        for name, judge in made.items():
            if isinstance(judge, LlmJudge):
                won = judge.compare(pairs)
                read = [value for value in won if value is not None]
                found[f"{name}/wins_unparsed"] = float(len(won) - len(read))
                if read:
                    found[f"{name}/wins"] = fmean(read)
        return prefixed(self.name, found)

    def asked(self, workshop: Workshop) -> list[str]:
        return [row.prompt[-1].content for row in self._rows(workshop)]

    def _rows(self, workshop: Workshop) -> list[Example]:
        seed = workshop.recipe.seed
        if self.policy is not None:
            return drawn(load_policy(self.policy).rows("normal", "test"), self.prompts, seed)
        assert self.source is not None
        return drawn(rows_of(self.source, self.like, seed, "evaluate.probes: helpfulness: source"), self.prompts, seed)
