"""Writing pairs from documents: replies of 80 tokens to prompts of about 330, against the `generate` of transformers.

SmolLM2 in bf16, batches of 16, greedy, the prompt `pairs` with one example before each piece. The example is the same before every piece,
or another one, so that prompts share only the rules. Both sides write 80 tokens, whatever they say: ends of text are not heeded.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import permutations
from typing import Any

from promise import Promise, script
from timing import cores, in_turn, seconds

BATCH, NEW, ALONE = 16, 80, 4


def measure(tiny: bool) -> Iterator[Promise]:
    import torch

    from fedloom.models.load import load_model
    from fedloom.recipe import ModelRecipe

    torch.set_num_threads(cores())
    loaded = load_model(ModelRecipe(id="tiny-llama" if tiny else "smollm2-135m-instruct", dtype="float32" if tiny else "bfloat16"))
    model, tokenizer = loaded.model, loaded.tokenizer
    model.generation_config.eos_token_id = None
    count, new = (2 * BATCH, 4) if tiny else (4 * BATCH, NEW)
    for kind in ("fixed", "random"):
        yield from _promises(model, tokenizer, kind, count, new, tiny)


def _promises(model: Any, tokenizer: Any, kind: str, count: int, new: int, tiny: bool) -> Iterator[Promise]:
    texts = prompts(tokenizer, kind, count)
    length = sum(len(tokenizer(text, add_special_tokens=False).input_ids) for text in texts) // len(texts)

    def mine() -> None:
        ours(model, tokenizer, texts, new)

    def batched() -> None:
        theirs(model, tokenizer, texts, new, BATCH)

    def alone() -> None:
        theirs(model, tokenizer, texts[:ALONE], new, 1)

    fast, slow = in_turn(mine, batched, 1 if tiny else 2)
    single = seconds(alone) / ALONE * count
    name, rate = f"tokens written a second, prompts of {length}, {kind} example", f"{count * new / fast:.0f} tok/s"
    one_by_one, together = f"generate, one by one: {count * new / single:.0f} tok/s", f"generate, batched: {count * new / slow:.0f} tok/s"
    yield Promise(name, rate, one_by_one, single / fast, ">=", None if tiny else 8.0 if kind == "fixed" else 5.0)
    yield Promise(name, rate, together, slow / fast, ">=", None if tiny else 1.5)


def prompts(tokenizer: Any, kind: str, count: int) -> list[str]:
    """The prompts of `count` pieces, each two documents of the packaged pool, with the first or with another example before it."""
    from fedloom.data.records import Document, Provenance
    from fedloom.data.templates import render_prompt
    from fedloom.synthesis.examples import load_pool
    from fedloom.synthesis.prompting import document_of, load_prompt

    pool, prompt = load_pool("general"), load_prompt("pairs")
    found = []
    for number, (first, second) in enumerate(list(permutations(pool, 2))[:count]):
        piece = Document(f"{document_of(first)} {document_of(second)}", Provenance.PUBLIC)
        asked = prompt.prompt(piece, [pool[0 if kind == "fixed" else number % len(pool)]])
        found.append(render_prompt(asked.turns, tokenizer, "chat").text + asked.begun)
    return found


def ours(model: Any, tokenizer: Any, texts: Sequence[str], new: int) -> None:
    import fedloom.models.generate as generation

    stops, generation._stop_tokens = generation._stop_tokens, lambda *_: set()
    try:
        generation.generate(model, tokenizer, texts, new, BATCH)
    finally:
        generation._stop_tokens = stops


def theirs(model: Any, tokenizer: Any, texts: Sequence[str], new: int, batch: int) -> None:
    """As a script would: texts by length, in batches, padded on the left."""
    import torch

    tokenizer.padding_side = "left"
    ordered = sorted(texts, key=len)
    for start in range(0, len(ordered), batch):
        asked = tokenizer(ordered[start : start + batch], return_tensors="pt", padding=True, add_special_tokens=False)
        with torch.inference_mode():
            model.generate(**asked, max_new_tokens=new, min_new_tokens=new, do_sample=False, pad_token_id=tokenizer.pad_token_id)


if __name__ == "__main__":
    script(measure, __doc__)
