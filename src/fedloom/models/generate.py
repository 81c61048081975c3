"""Let a model continue text: greedily in batches for evaluation, token by token for chat.

One loop over the model's own cache serves both, so that what is measured and what a user sees come from the same arithmetic, and the
sampling settings that hub models carry in their files (repetition penalties, temperatures) do not creep into a measurement.
"""

from __future__ import annotations

import contextlib
import inspect
from collections.abc import Container, Generator, Iterator, Sequence
from typing import Any

import torch
from torch import Tensor

from fedloom.data.prefixes import prompt_ids
from fedloom.data.records import Turn
from fedloom.data.templates import Rendered, render
from fedloom.streams import torch_stream

COLDEST = 1e-4
"""The temperature below which the likeliest token is taken: quotients of logits by less are not finite."""


def generate(
    model: Any,
    tokenizer: Any,
    texts: Sequence[str | Rendered],
    max_new_tokens: int,
    batch_size: int,
    temperature: float = 0.0,
    seed: int = 0,
) -> list[str]:
    """The continuation of each rendered text, without the special tokens, in the order of `texts`.

    A plain string has its special tokens in it.

    `temperature` 0 is greedy; above, tokens are drawn by `seed`, for each batch anew. Ends at the end of a turn or after `max_new_tokens`.
    A text that does not fit into the model's context loses its beginning.
    """
    stop = _stop_tokens(model, tokenizer)
    prompts = [_prompt(model, tokenizer, text, max_new_tokens) for text in texts]
    by_length = sorted(range(len(prompts)), key=lambda i: (-len(prompts[i]), i))
    answers = [""] * len(prompts)
    with _evaluating(model):
        for start in range(0, len(by_length), batch_size):
            rows = by_length[start : start + batch_size]
            drawn_by = torch_stream(seed, "generate", start)
            found = _continue(model, [prompts[i] for i in rows], max_new_tokens, stop, temperature, drawn_by)
            for row, tokens in zip(rows, found, strict=True):
                answers[row] = _decoded(tokenizer, tokens, texts[row])
    return answers


def stream(
    model: Any, tokenizer: Any, text: str | Rendered, max_new_tokens: int, temperature: float = 0.0, seed: int | None = None
) -> Iterator[str]:
    """The continuation of one rendered text in pieces, as it comes. `temperature` 0 is greedy; above, tokens are drawn, by `seed` if given.

    The caller may stop at any time; the model is left as it was found.
    """
    stop = _stop_tokens(model, tokenizer)
    generator = torch.Generator()
    if seed is None:
        generator.seed()
    else:
        generator.manual_seed(seed)
    tokens: list[int] = []
    shown = ""
    with _evaluating(model), contextlib.closing(_steps(model, [_prompt(model, tokenizer, text, max_new_tokens)])) as steps:
        logits = next(steps)
        for _ in range(max_new_tokens):
            token = _draw(logits, temperature, generator)
            if int(token) in stop:
                break
            tokens.append(int(token))
            so_far = _decoded(tokenizer, tokens, text)
            # a character of several bytes decodes to a replacement mark until its last byte is there
            if not so_far.endswith("\ufffd") and len(so_far) > len(shown):
                yield so_far[len(shown) :]
                shown = so_far
            if len(tokens) < max_new_tokens:
                logits = steps.send(token)
    if rest := _decoded(tokenizer, tokens, text)[len(shown) :]:
        yield rest


def _continue(
    model: Any, prompts: list[list[int]], max_new_tokens: int, stop: set[int], temperature: float, drawn_by: torch.Generator
) -> list[list[int]]:
    answers: list[list[int]] = [[] for _ in prompts]
    running = set(range(len(prompts)))
    with contextlib.closing(_steps(model, prompts)) as steps:
        logits = next(steps)
        for length in range(1, max_new_tokens + 1):
            tokens = _draw(logits, temperature, drawn_by)
            for row, token in enumerate(tokens.tolist()):
                if row in running:
                    if token in stop:
                        running.remove(row)
                    else:
                        answers[row].append(token)
            if not running or length == max_new_tokens:
                break
            logits = steps.send(tokens)
    return answers


def _steps(model: Any, prompts: list[list[int]]) -> Generator[Tensor, Tensor, None]:
    """A coroutine: yields the next token's logits (rows, vocabulary), is sent the chosen tokens (rows,)."""
    whole = model.get_base_model() if hasattr(model, "get_base_model") else model
    takes = inspect.signature(whole.forward).parameters
    return _cached_steps(model, prompts, takes) if "past_key_values" in takes else _whole_steps(model, prompts)


def _cached_steps(model: Any, prompts: list[list[int]], takes: Container[str]) -> Generator[Tensor, Tensor, None]:
    """With the model's own key-value cache.

    Prompts are padded on the left and told apart from padding by the mask, not by the token: PAD may be EOS.
    """
    width = max(map(len, prompts))
    tokens = torch.tensor([[0] * (width - len(prompt)) + prompt for prompt in prompts], device=model.device)
    mask = torch.tensor([[0] * (width - len(prompt)) + [1] * len(prompt) for prompt in prompts], device=model.device)
    positions = (mask.cumsum(-1) - 1).clamp(min=0)
    only_last = {"logits_to_keep": 1} if "logits_to_keep" in takes else {}
    cache: Any = None
    while True:
        placed = {"position_ids": positions} if "position_ids" in takes else {}  # without, the model counts from the mask, or by distance
        with torch.inference_mode():
            output = model(input_ids=tokens, attention_mask=mask, past_key_values=cache, use_cache=True, **placed, **only_last)
            cache = getattr(output, "past_key_values", None)
            logits = output.logits[:, -1].float()
        if cache is None:
            yield from _whole_steps(model, prompts)
            return
        chosen = yield logits
        tokens = chosen.to(mask.device)[:, None]
        mask = torch.cat([mask, mask.new_ones(len(prompts), 1)], dim=1)
        positions = positions[:, -1:] + 1


def _whole_steps(model: Any, prompts: list[list[int]]) -> Generator[Tensor, Tensor, None]:
    """Without a cache, for recurrent models: every step computes the whole texts anew.

    Padded on the right, where what comes later changes nothing before it: a recurrent state that had read padding would be another one.
    """
    texts = [list(prompt) for prompt in prompts]
    while True:
        ends = torch.tensor([len(text) - 1 for text in texts], device=model.device)
        width = max(map(len, texts))
        tokens = torch.tensor([text + [0] * (width - len(text)) for text in texts], device=model.device)
        with torch.inference_mode():
            logits = model(input_ids=tokens, use_cache=False).logits
        chosen = yield logits[torch.arange(len(texts), device=model.device), ends].float()
        for text, token in zip(texts, chosen.tolist(), strict=True):
            text.append(token)


def _draw(logits: Tensor, temperature: float, generator: torch.Generator) -> Tensor:
    """One token a row, (rows,), from logits (rows, vocabulary)."""
    if temperature < COLDEST:
        return logits.argmax(-1)
    return torch.multinomial((logits.cpu() / temperature).softmax(-1), 1, generator=generator)[:, 0]


def _prompt(model: Any, tokenizer: Any, text: str | Rendered, max_new_tokens: int) -> list[int]:
    """The tokens of a prompt: of a rendered one, those that training has before the answer."""
    tokens = list(tokenizer(text, add_special_tokens=False).input_ids) if isinstance(text, str) else prompt_ids(text, tokenizer)
    if context := getattr(model.config, "max_position_embeddings", None):
        tokens = tokens[-max(context - max_new_tokens, 1) :]
    return tokens or [tokenizer.eos_token_id]


def _decoded(tokenizer: Any, tokens: Sequence[int], asked: str | Rendered) -> str:
    """The text of generated `tokens`, without the space that stands before a response in the plain templates."""
    said = str(tokenizer.decode(tokens, skip_special_tokens=True))
    return said.removeprefix(" ") if isinstance(asked, Rendered) and asked.response_after_space else said


def _stop_tokens(model: Any, tokenizer: Any) -> set[int]:
    """The end of text, as tokenizer and model name it, and what the chat template writes after an assistant's turn."""
    named = [tokenizer.eos_token_id, getattr(model.generation_config, "eos_token_id", None)]
    stop = {token for entry in named for token in (entry if isinstance(entry, list) else [entry]) if token is not None}
    if tokenizer.chat_template:
        turns = [Turn("user", "question"), Turn("assistant", "answer")]
        after = render(turns, tokenizer, "chat").text.rpartition("answer")[2].lstrip()
        first = tokenizer(after, add_special_tokens=False).input_ids[:1]
        stop.update(token for token in first if token in tokenizer.all_special_ids)
    return stop


@contextlib.contextmanager
def _evaluating(model: Any) -> Iterator[None]:
    """Dropout off for the length of the block."""
    training = model.training
    model.eval()
    try:
        yield
    finally:
        model.train(training)
