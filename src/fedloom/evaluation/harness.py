"""Tasks of lm-evaluation-harness asked of a talker: its prompts, its filters and its measures, with the model and its adapter in memory.

Importing this module imports the harness, which takes seconds.
"""

from __future__ import annotations

import contextlib
import json
import logging
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from lm_eval.api.model import TemplateLM
from lm_eval.evaluator import evaluate
from lm_eval.models.utils import normalize_gen_kwargs
from lm_eval.utils import get_rolling_token_windows, make_disjoint_window

from fedloom.data.records import Turn
from fedloom.data.templates import Rendered, render_prompt
from fedloom.errors import RecipeError
from fedloom.evaluation.likelihoods import context_of, likelihoods
from fedloom.evaluation.suite import Scored
from fedloom.evaluation.talker import Progress, Talker, silent

ANSWER = 256
"""Tokens of an answer where a task does not say how many, as the harness has it."""

FEWSHOT_SEED = 1234
"""By which examples are drawn, as the harness' own command does."""


def scored(
    tasks: Mapping[str, Any],
    talker: Talker,
    chat: bool,
    limit: int | None = None,
    progress: Progress = silent,
) -> list[Scored]:
    """Every row of the harness' `tasks`, the first `limit` of each alone if given; `values` are named METRIC,FILTER as in its results.

    `chat`: as conversations in the talker's template, examples as earlier turns; otherwise as plain text. Values that are no numbers, such
    as pairs of which the harness computes one F1 of all rows, are left out.
    """
    for task in tasks.values():
        task.set_fewshot_seed(seed=FEWSHOT_SEED)
    model = HarnessModel(talker, chat, progress)
    with quiet():
        results = evaluate(
            lm=model,
            task_dict={"tasks": dict(tasks), "groups": {}},
            limit=limit,
            bootstrap_iters=0,
            apply_chat_template=chat,
            fewshot_as_multiturn=chat,
            confirm_run_unsafe_code=True,
        )
    return [row for name, task in tasks.items() for row in _rows(results["samples"][name], name, task.config.dataset_name or name)]


def _rows(samples: Sequence[Mapping[str, Any]], task: str, group: str) -> list[Scored]:
    """A row for each document. The harness logs one sample for each document and filter."""
    found: dict[int, dict[str, float]] = {}
    for sample in samples:
        values = found.setdefault(sample["doc_id"], {})
        for metric in sample["metrics"]:
            if isinstance(value := sample[metric], int | float):
                values[f"{metric},{sample['filter']}"] = float(value)
    return [Scored(f"{task}/{place}", values, group) for place, values in found.items()]


class HarnessModel(TemplateLM):
    """A talker as the harness knows a model."""

    def __init__(self, talker: Talker, chat: bool = False, progress: Progress = silent) -> None:
        super().__init__()
        self.tokenizer = talker.tokenizer
        self._talker, self._progress = talker, progress
        self._marked = chat and talker.template == "chat"
        self._rendered: dict[str, Rendered] = {}

    @property
    def eot_token_id(self) -> int:
        return int(self.tokenizer.eos_token_id)

    @property
    def prefix_token_id(self) -> int:
        return int(self.tokenizer.bos_token_id if self.tokenizer.bos_token_id is not None else self.tokenizer.eos_token_id)

    @property
    def tokenizer_name(self) -> str:
        return self._talker.identity

    def apply_chat_template(self, chat_history: Sequence[Mapping[str, str]], add_generation_prompt: bool = True) -> str:
        """The text that asks for the next response, as in training. Without `add_generation_prompt` the last message is what the response
        begins with."""
        turns = [Turn(message["role"], message["content"]) for message in chat_history]
        asked = turns if add_generation_prompt else turns[:-1]
        rendered = render_prompt(asked, self.tokenizer, self._talker.template)
        if not add_generation_prompt:
            rendered = _begun(rendered, turns[-1].content)
        self._rendered[rendered.text] = rendered
        return rendered.text

    def tok_encode(self, string: str, add_special_tokens: bool | None = None, **kwargs: Any) -> list[int]:
        """The tokens of `string`. By default with those that the tokenizer puts around a text, unless the text begins with them."""
        if add_special_tokens is None:
            add_special_tokens = not self._marked and not self._begins(string)
        return list(self.tokenizer.encode(string, add_special_tokens=add_special_tokens))

    def loglikelihood(self, requests: Any, disable_tqdm: bool = True) -> list[tuple[float, bool]]:
        found: list[tuple[float, bool]] = super().loglikelihood(requests, disable_tqdm=True)
        return found

    def _encode_pair(self, context: str, continuation: str) -> tuple[list[int], list[int]]:
        """Both together, split after the tokens of the context. The plain templates have a space before a response."""
        rendered = self._rendered.get(context)
        if rendered is not None and rendered.response_after_space and not continuation.startswith(" "):
            continuation = f" {continuation}"
        pair: tuple[list[int], list[int]] = super()._encode_pair(context, continuation)
        return pair

    def _loglikelihood_tokens(self, requests: Any, **kwargs: Any) -> list[tuple[float, bool]]:
        return likelihoods(self._talker, [(context, continuation) for _, context, continuation in requests], self._progress)

    def loglikelihood_rolling(self, requests: Any, disable_tqdm: bool = True) -> list[float]:
        """Of each text the sum over windows as long as the model's context, each token once."""
        windows = [self._windows(request.args[0]) for request in requests]
        found = iter(likelihoods(self._talker, [window for ones in windows for window in ones], self._progress))
        return [sum(next(found)[0] for _ in ones) for ones in windows]

    def _windows(self, text: str) -> list[tuple[list[int], list[int]]]:
        rolling = get_rolling_token_windows(self.tok_encode(text), self.prefix_token_id, context_of(self._talker.model), 1)
        return [make_disjoint_window(window) for window in rolling]

    def generate_until(self, requests: Any, disable_tqdm: bool = True) -> list[str]:
        """The greedy answers. Raises RecipeError for a task that wants answers drawn at random."""
        alike: dict[str, list[int]] = {}
        for place, request in enumerate(requests):
            alike.setdefault(json.dumps(request.args[1], sort_keys=True), []).append(place)
        answers = [""] * len(requests)
        done = 0
        for places in alike.values():
            asked = [requests[place] for place in places]
            for place, answer in zip(places, self._continued(asked, done, len(requests)), strict=True):
                answers[place] = answer
            done += len(places)
        return answers

    def _continued(self, asked: Sequence[Any], before: int, total: int) -> list[str]:
        """Answers to requests with the same settings; `before` of `total` are done."""
        settings = normalize_gen_kwargs(asked[0].args[1], ANSWER)
        if settings.get("do_sample"):
            raise RecipeError(
                f"{asked[0].task_name}: wants answers drawn at random, and suites ask for the greedy one; choose another task"
            )
        stop = [mark for mark in settings["until"] if mark]
        texts = [self._asking(request.args[0]) for request in asked]
        return self._talker.continued(texts, settings["max_gen_toks"], stop, lambda done, _: self._progress(before + done, total))

    def _asking(self, text: str) -> Rendered:
        return self._rendered.get(text) or Rendered(text, (), adds_special_tokens=not self._begins(text))

    def _begins(self, text: str) -> bool:
        """Whether `text` begins with what the tokenizer would put in front."""
        return text.startswith(self.tokenizer.decode(self.prefix_token_id))


def _begun(asked: Rendered, beginning: str) -> Rendered:
    """`asked` with the `beginning` of the response."""
    text = asked.text + (" " if asked.response_after_space else "") + beginning
    return Rendered(text, (*asked.responses, (len(asked.text), len(text))), asked.adds_special_tokens)


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Keep the harness' bars and notes out of our own output, and everything away from the hub, for the length of the block."""
    import datasets
    import huggingface_hub.constants
    import lm_eval.api.task

    logger = logging.getLogger("lm_eval")
    level, bars = logger.level, datasets.is_progress_bar_enabled()
    logger.setLevel(logging.CRITICAL)
    datasets.disable_progress_bars()
    try:
        with (
            standing_in(lm_eval.api.task, "tqdm", lambda rows, **_: rows),
            standing_in(datasets.config, "HF_HUB_OFFLINE", True),
            standing_in(huggingface_hub.constants, "HF_HUB_OFFLINE", True),
        ):
            yield
    finally:
        logger.setLevel(level)
        if bars:
            datasets.enable_progress_bars()


@contextlib.contextmanager
def standing_in(module: Any, name: str, value: Any) -> Iterator[None]:
    """`value` in the place of what `module` calls `name`, for the length of the block."""
    before = getattr(module, name)
    setattr(module, name, value)
    try:
        yield
    finally:
        setattr(module, name, before)
