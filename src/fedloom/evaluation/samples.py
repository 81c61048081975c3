"""Sample answers before and after, for the report: from PUBLIC held-out rows only, because a report is shown around."""

from __future__ import annotations

from typing import Any

from fedloom.data.records import Provenance
from fedloom.data.templates import render_prompt
from fedloom.models.generate import generate
from fedloom.state import State
from fedloom.workshop import Workshop, task_of


def sample_answers(workshop: Workshop, after: State) -> list[dict[str, Any]]:
    """Up to evaluate.samples rows of each client: client, prompt (the user's turns), reference, and the answers before and after."""
    recipe, tokenizer = workshop.recipe, workshop.loaded.tokenizer
    chosen = [
        (client.name, example)
        for client in workshop.data.clients
        for example in [e for e in client.held_out if e.provenance is Provenance.PUBLIC][: recipe.evaluate.samples]
    ]
    if not chosen or task_of(recipe).head is not None:  # a classification head says nothing
        return []
    texts = [render_prompt(example.prompt, tokenizer, recipe.data.template) for _, example in chosen]
    answers = []
    for state in (workshop.start, after):
        workshop.bench.parameters.load(state)
        answers.append(generate(workshop.bench.model, tokenizer, texts, recipe.evaluate.max_new_tokens, recipe.evaluate.batch_size))
    return [
        {
            "client": client,
            "prompt": "\n".join(turn.content for turn in example.prompt if turn.role == "user"),
            "reference": example.response,
            "before": before,
            "after": now,
        }
        for (client, example), before, now in zip(chosen, *answers, strict=True)
    ]
