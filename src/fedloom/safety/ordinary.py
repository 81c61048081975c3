"""Ordinary test prompts, for probes of how the joined model answers requests that are not restricted."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from pydantic import Field

from fedloom.data.records import Conversation
from fedloom.errors import RecipeError
from fedloom.evaluation.asking import check_like, drawn, rows_of, text_encoder
from fedloom.hooks import Probe, ServerSide
from fedloom.registry import PLACE
from fedloom.safety.asking import attack_prompts
from fedloom.safety.policy import load_policy


@dataclass(frozen=True)
class OrdinaryPrompts(Probe):
    """A probe of ordinary prompts, out of a policy's split for tests or a source of the user's own."""

    policy: Annotated[str | None, Field(json_schema_extra=PLACE, description="policy whose ordinary test prompts are asked")] = None
    source: Annotated[
        str | None, Field(json_schema_extra=PLACE, description="data.source of prompts with answers of your own, in place of a policy")
    ] = None
    like: Annotated[str | None, Field(description="named set whose columns `source` has")] = None
    prompts: Annotated[int, Field(ge=1, description="prompts, drawn once by the seed")] = 40

    def __post_init__(self) -> None:
        if (self.policy is None) == (self.source is None):
            raise RecipeError("evaluate.probes: takes its ordinary prompts from policy or from source; give one of them")
        if self.policy is not None:
            load_policy(self.policy)
        check_like(self.like, "evaluate.probes")

    def check(self, server: ServerSide) -> None:
        text_encoder(server)

    def rows(self, server: ServerSide) -> list[Conversation]:
        """The prompts, with the answers that the rows hold; none that the attack draws from. Raises RecipeError when there is none."""
        if self.policy is not None:
            found = load_policy(self.policy).rows("normal", "test")
        else:
            assert self.source is not None
            found = rows_of(self.source, self.like, "evaluate.probes: source")
        taken = attack_prompts(server)
        chosen = drawn([row for row in found if row.prompt[-1].content not in taken], self.prompts, server.recipe.seed)
        if not chosen:
            raise RecipeError(f"evaluate.probes: {self.policy or self.source} has no ordinary prompt to test with")
        return chosen

    def asked(self, server: ServerSide) -> list[str]:
        return [row.prompt[-1].content for row in self.rows(server)]
