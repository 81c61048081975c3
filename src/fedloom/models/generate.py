"""Let a model continue text: greedily in batches for evaluation, token by token for chat.

One loop, over the arithmetic of `models.decoding`, serves both, so that what is measured and what a user sees are the same, and the
sampling settings that hub models carry in their files (repetition penalties, temperatures) do not creep into a measurement.
"""

from __future__ import annotations

import contextlib
import hashlib
import sys
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from fedloom.data.prefixes import prompt_ids
from fedloom.data.records import Turn
from fedloom.data.templates import Rendered, render
from fedloom.streams import torch_stream

if TYPE_CHECKING:
    from fedloom.models.decoding import Decoder

COLDEST = 1e-4
"""The temperature below which the likeliest token is taken: quotients of logits by less are not finite."""

MOST_RUNNING = 0.75
"""Share of a batch's texts that still run, from which down those at their end are taken out: that copies what is kept of the others."""


@dataclass(frozen=True, repr=False)
class Continuation:
    """What a model wrote after one text: `tokens` of them, after the `prompt_tokens` of the text.

    `ended`: it came to an end of its own, or to a stop string, and was not cut at its greatest length.
    """

    text: str
    tokens: int
    prompt_tokens: int
    ended: bool


def generate(
    model: Any,
    tokenizer: Any,
    texts: Sequence[str | Rendered],
    max_new_tokens: int,
    batch_size: int,
    temperature: float = 0.0,
    seed: int = 0,
) -> list[str]:
    """The continuation of each rendered text, without the special tokens, in the order of `texts`; see `continuations`."""
    answers = [""] * len(texts)
    for place, found in continuations(model, tokenizer, texts, max_new_tokens, batch_size, temperature, seed):
        answers[place] = found.text
    return answers


def continuations(
    model: Any,
    tokenizer: Any,
    texts: Sequence[str | Rendered],
    max_new_tokens: int,
    batch_size: int,
    temperature: float = 0.0,
    seed: int = 0,
    stop: Sequence[str] = (),
    skip: Collection[int] = (),
    draws: Sequence[int] = (),
) -> Iterator[tuple[int, Continuation]]:
    """(place in `texts`, continuation) of each text, batch after batch, texts of like length together and the longest first.

    A plain string has its special tokens in it. `temperature` 0 is greedy; above, tokens are drawn by `seed`, for each text by itself,
    whatever stands beside it; `draws` has a further number for each text, with which the same text is drawn otherwise. Ends at the end of
    a turn, before the first of the strings `stop`, or after `max_new_tokens`. A text that does not fit into the model's context loses its
    beginning. A batch is left out when all its places are in `skip`: the others are then the same batches, to the last digit, as without
    it.
    """
    from fedloom.models.decoding import Decoders

    ends = _stop_tokens(model, tokenizer)
    prompts = [_prompt(model, tokenizer, text, max_new_tokens) for text in texts]
    streams = _streams(prompts, seed, draws or [0] * len(prompts)) if temperature >= COLDEST else []
    by_length = sorted(range(len(prompts)), key=lambda i: (-len(prompts[i]), i))
    batches = [by_length[start : start + batch_size] for start in range(0, len(by_length), batch_size)]
    batches = [places for places in batches if not all(place in skip for place in places)]
    if not batches:
        return
    with evaluating(model):
        with torch.inference_mode():
            decoders = Decoders(model, prompts)

        def written(places: list[int]) -> _Batch:
            batch = _Batch(tokenizer, [texts[i] for i in places], ends, stop, max_new_tokens)
            with torch.inference_mode():
                started = decoders.start([prompts[i] for i in places], max_new_tokens)
                _write(started, batch, temperature, [streams[i] for i in places if streams])
            return batch

        for places, batch in zip(batches, _side_by_side(written, batches, model.device.type), strict=True):
            for row, place in enumerate(places):
                yield place, Continuation(batch.said[row], len(batch.tokens[row]), len(prompts[place]), row in batch.ended)


def _side_by_side(work: Callable[[list[int]], _Batch], batches: Sequence[list[int]], device: str) -> Iterator[_Batch]:
    """`work` on each of `batches`, in order. On a CPU as many at once as there are threads, one thread each: that is faster than one batch
    with all threads, which would wait for each other in every layer."""
    threads = torch.get_num_threads() if device == "cpu" else 1
    if threads == 1 or len(batches) == 1:
        yield from map(work, batches)
        return
    pool = ThreadPoolExecutor(threads, initializer=torch.set_num_threads, initargs=(1,))
    try:
        yield from pool.map(work, batches)
    finally:
        pool.shutdown(cancel_futures=True)


def stream(
    model: Any, tokenizer: Any, text: str | Rendered, max_new_tokens: int, temperature: float = 0.0, seed: int | None = None
) -> Iterator[str]:
    """The continuation of one rendered text in pieces, as it comes. `temperature` 0 is greedy; above, tokens are drawn, by `seed` if given.

    The caller may stop at any time; the model is left as it was found.
    """
    from fedloom.models.decoding import Decoders

    ends = _stop_tokens(model, tokenizer)
    generator = torch.Generator()
    if seed is None:
        generator.seed()
    else:
        generator.manual_seed(seed)
    prompt = _prompt(model, tokenizer, text, max_new_tokens)
    tokens: list[int] = []
    shown = ""
    with evaluating(model):
        with torch.inference_mode():
            decoder = Decoders(model, [prompt]).start([prompt], max_new_tokens)
        for _ in range(max_new_tokens):
            token = _draw(decoder.logits, temperature, [generator])
            if int(token) in ends:
                break
            tokens.append(int(token))
            so_far = _decoded(tokenizer, tokens, text)
            # a character of several bytes decodes to a replacement mark until its last byte is there
            if not so_far.endswith("\ufffd") and len(so_far) > len(shown):
                yield so_far[len(shown) :]
                shown = so_far
            if len(tokens) < max_new_tokens:
                with torch.inference_mode():
                    decoder.append(token)
    if rest := _decoded(tokenizer, tokens, text)[len(shown) :]:
        yield rest


class _Batch:
    """What is written after each of some texts, and which of them are at their end."""

    def __init__(self, tokenizer: Any, texts: Sequence[str | Rendered], ends: set[int], stop: Sequence[str], most: int) -> None:
        self._tokenizer, self._texts, self._ends, self._stop, self._most = tokenizer, texts, ends, stop, most
        self.tokens: list[list[int]] = [[] for _ in texts]
        self.said = [""] * len(texts)
        self.ended: set[int] = set()

    def add(self, row: int, token: int) -> bool:
        """Whether the text in `row` goes on after `token`."""
        if token in self._ends:
            return self._end(row, self._decoded(row), by_itself=True)
        self.tokens[row].append(token)
        if self._stop:
            said = self._decoded(row)
            cut = min((said.find(mark) for mark in self._stop if mark in said), default=-1)
            if cut >= 0:
                return self._end(row, said[:cut], by_itself=True)
        if len(self.tokens[row]) == self._most:
            return self._end(row, self._decoded(row), by_itself=False)
        return True

    def _end(self, row: int, said: str, by_itself: bool) -> bool:
        self.said[row] = said
        if by_itself:
            self.ended.add(row)
        return False

    def _decoded(self, row: int) -> str:
        return _decoded(self._tokenizer, self.tokens[row], self._texts[row])


def _write(decoder: Decoder, batch: _Batch, temperature: float, streams: Sequence[torch.Generator]) -> None:
    """Write after every text of `batch` up to its end. Rows that are at their end are taken out once they are a quarter of all."""
    rows = list(range(len(batch.tokens)))
    running = set(rows)
    while True:
        tokens = _draw(decoder.logits, temperature, [streams[row] for row in rows if streams])
        for row, token in zip(rows, tokens.tolist(), strict=True):
            if row in running and not batch.add(row, token):
                running.remove(row)
        if not running:
            return
        if len(running) <= MOST_RUNNING * len(rows):
            left = torch.tensor([place for place, row in enumerate(rows) if row in running], device=decoder.logits.device)
            if decoder.keep(left):
                rows, tokens = [row for row in rows if row in running], tokens[left.to(tokens.device)]
        decoder.append(tokens.to(decoder.logits.device))


def _streams(prompts: Sequence[list[int]], seed: int, draws: Sequence[int]) -> list[torch.Generator]:
    """A generator for each prompt: by the prompt itself, its number in `draws`, and how often both came before."""
    seen: Counter[tuple[tuple[int, ...], int]] = Counter()
    found = []
    for one in zip(map(tuple, prompts), draws, strict=True):
        prompt, draw = one
        digest = hashlib.blake2b(repr(prompt).encode(), digest_size=8).hexdigest()
        found.append(torch_stream(seed, "generate", digest, seen[one], *([draw] if draw else [])))
        seen[one] += 1
    return found


def _draw(logits: Tensor, temperature: float, streams: Sequence[torch.Generator]) -> Tensor:
    """One token a row, (rows,), from logits (rows, vocabulary), drawn by the row's own stream."""
    if temperature < COLDEST:
        return logits.argmax(-1)
    shares = (logits.cpu() / temperature).softmax(-1)
    return torch.cat([torch.multinomial(row, 1, generator=stream) for row, stream in zip(shares, streams, strict=True)])


def _prompt(model: Any, tokenizer: Any, text: str | Rendered, max_new_tokens: int) -> list[int]:
    """The tokens of a prompt; the last ones alone when it does not fit into the model's context."""
    tokens = prompt_tokens(tokenizer, text)
    return tokens[max(len(tokens) - prompt_room(model, max_new_tokens), 0) :] or [tokenizer.eos_token_id]


def prompt_tokens(tokenizer: Any, text: str | Rendered) -> list[int]:
    """The tokens of a prompt: of a rendered one, those that training has before the answer."""
    return list(tokenizer(text, add_special_tokens=False).input_ids) if isinstance(text, str) else prompt_ids(text, tokenizer)


def prompt_room(model: Any, max_new_tokens: int) -> int:
    """The most tokens of a prompt that leave `max_new_tokens` of the model's context for the answer."""
    context = getattr(model.config, "max_position_embeddings", None)
    return max(context - max_new_tokens, 1) if context else sys.maxsize


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
def evaluating(model: Any) -> Iterator[None]:
    """Dropout off for the length of the block."""
    training = model.training
    model.eval()
    try:
        yield
    finally:
        model.train(training)
