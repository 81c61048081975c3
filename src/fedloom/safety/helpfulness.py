"""The probe `helpfulness`: how good the joined model's answers to ordinary requests are, by judges. Asked on the server."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from statistics import fmean
from typing import Annotated, Any

from pydantic import Field

from fedloom.errors import RecipeError
from fedloom.evaluation.asking import NAME, answers_of, prefixed, prefixed_measures
from fedloom.evaluation.judges import LlmJudge, judges
from fedloom.hooks import ServerSide, probes
from fedloom.measures import SHARE, Measure
from fedloom.registry import parts_of
from fedloom.safety.asking import check_judges, judged, judged_measures, made_judges
from fedloom.safety.ordinary import OrdinaryPrompts
from fedloom.state import State


@probes.register("helpfulness")
@dataclass(frozen=True)
class Helpfulness(OrdinaryPrompts):
    """What judges say of answers to ordinary test prompts.

    JUDGE/score: their mean rating (llm: 1 to 10). JUDGE/wins, of an llm judge: the share of answers that are preferred to the row's own
    answer, a tie counting half, every pair asked in both orders (Zheng et al. 2023, arXiv 2306.05685). JUDGE/unparsed and
    JUDGE/wins_unparsed: verdicts that could not be read, which are never averaged in.
    """

    max_new_tokens: Annotated[int, Field(ge=1, description="length of an answer in tokens")] = 128
    judges: Annotated[
        list[dict[str, Any]], Field(json_schema_extra=parts_of(judges), description="judges, such as {kind: llm, model: ...}")
    ] = field(default_factory=list)
    name: Annotated[str, Field(pattern=NAME, description="what its measures carry before their names")] = "helpfulness"

    def __post_init__(self) -> None:
        super().__post_init__()
        if not made_judges(self.judges):
            raise RecipeError("evaluate.probes: helpfulness needs judges, such as {kind: llm, model: ...}")

    def check(self, server: ServerSide) -> None:
        super().check(server)
        check_judges(self.judges, server)

    def measures(self) -> list[Measure]:
        found = judged_measures(self.judges)
        for name, judge in made_judges(self.judges).items():
            if isinstance(judge, LlmJudge):
                found.append(Measure(f"{name}/wins", f"answers that {name} prefers to the row's own", SHARE, "higher"))
                found.append(Measure(f"{name}/wins_unparsed", f"comparisons of {name} that could not be read", "count", "neither"))
        return prefixed_measures(self.name, found)

    def measure(self, state: State, server: ServerSide) -> Mapping[str, float]:
        rows = self.rows(server)
        prompts = [row.prompt[-1].content for row in rows]
        answers = answers_of(state, server, prompts, self.max_new_tokens)
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
