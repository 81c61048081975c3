"""What suites share whose answers a judge rates from 1 to 10."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Annotated, Any

from pydantic import Field

from fedloom.data.records import Provenance
from fedloom.data.rows import Row
from fedloom.evaluation.benchmark_file import FileSuite
from fedloom.evaluation.judging import (
    JudgeSetting,
    Panel,
    PromptsSetting,
    ScorePrompts,
    SecondSetting,
    prompts_described,
    score_prompts,
)
from fedloom.evaluation.suite import Scored


@dataclass(frozen=True)
class RatedSuite(FileSuite):
    """Questions in FastChat's form, and the judges of their answers."""

    judge: JudgeSetting = field(kw_only=True)
    second_judge: SecondSetting = None
    prompts: PromptsSetting = None
    max_new_tokens: Annotated[int, Field(ge=1, description="length of an answer in tokens")] = 1024

    def __post_init__(self) -> None:
        _ = self.panel

    def check(self) -> None:
        self.rows()
        _ = self.score_prompts

    def allow(self, says: Provenance) -> None:
        self.panel.allow(says)

    def described(self) -> Mapping[str, Any]:
        return {**super().described(), **self.panel.described(), **prompts_described(self.prompts)}

    def warnings(self, rows: Sequence[Scored]) -> Sequence[str]:
        return self.panel.warnings(rows)

    def group(self, row: Row) -> str:
        return str(row.columns["category"])

    @property
    def panel(self) -> Panel:
        """The judges. Raises RecipeError for settings of theirs that are wrong."""
        return Panel.of(self.name, self.judge, self.second_judge)

    @property
    def score_prompts(self) -> ScorePrompts:
        """How they are asked. Raises a FedloomError for a file of prompts that cannot be read."""
        return score_prompts(self.prompts, f"{self.name}.prompts")
