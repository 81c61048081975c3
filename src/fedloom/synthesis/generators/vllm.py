"""The generator `vllm`: a causal language model that vLLM runs in this process, on CUDA devices (the extra `vllm`)."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Annotated, Any

from pydantic import Field

from fedloom.errors import MissingExtraError
from fedloom.files import content_sha256, local_path
from fedloom.models.weights import Weights, adapter_sha256, weights_of
from fedloom.registry import PLACE
from fedloom.synthesis.generator import (
    BudgetSpentError,
    Generator,
    MaxNewTokens,
    Prompt,
    Reply,
    Seed,
    Temperature,
    generators,
)

ASKED_TOGETHER = 256
"""Prompts that vLLM is given at once. What it has written is on disk after each such lot."""


@generators.register("vllm")
@dataclass(frozen=True)
class VllmGenerator(Generator):
    """A causal language model in vLLM, whose own scheduler fills the device; prefixes that prompts share are computed once there, too."""

    model: Annotated[str, Field(json_schema_extra=PLACE, description="hub id or folder of the writer")] = "meta-llama/Llama-2-7b-chat-hf"
    revision: Annotated[str | None, Field(description="hub revision of the writer")] = None
    adapter: Annotated[str | None, Field(json_schema_extra=PLACE, description="folder of an adapter in PEFT's format")] = None
    dtype: Annotated[str, Field(description="precision, as vLLM names it")] = "bfloat16"
    memory_share: Annotated[float, Field(gt=0, le=1, description="share of the device's memory that vLLM takes")] = 0.5
    max_model_length: Annotated[int, Field(ge=64, description="longest prompt and reply together in tokens")] = 4096
    max_new_tokens: MaxNewTokens = 256
    temperature: Temperature = 0.0
    seed: Seed = 0

    def check(self) -> None:
        _vllm()

    def identity(self) -> Mapping[str, Any]:
        """All but what decides which prompts are worked on together: in bfloat16 that decides last digits, which can change a word, and a
        reply that was written in another batch is as good."""
        left_out = ("memory_share", "model", "revision", "adapter")
        settings = {name: value for name, value in vars(self).items() if name not in left_out}
        return {"kind": "vllm", "model": asdict(self._weights), "adapter": adapter_sha256(self.adapter), **settings}

    def replies(
        self, prompts: Sequence[Prompt], stop: Sequence[str], known: Collection[int], lent: dict[str, Any]
    ) -> Iterator[tuple[int, Reply]]:
        places = [place for place in range(len(prompts)) if place not in known]
        for start in range(0, len(places), ASKED_TOGETHER):
            lot = places[start : start + ASKED_TOGETHER]
            spent = None
            for place, reply in zip(lot, self._written([prompts[place] for place in lot], stop, lent), strict=True):
                try:
                    yield place, reply
                except BudgetSpentError as error:
                    spent = error
            if spent is not None:
                raise spent

    def _written(self, prompts: Sequence[Prompt], stop: Sequence[str], lent: dict[str, Any]) -> list[Reply]:
        vllm, engine = _vllm(), self._engine(lent)
        settings = {"temperature": self.temperature, "max_tokens": self.max_new_tokens, "stop": list(stop) or None}
        sampling = [vllm.SamplingParams(**settings, seed=self.seed + prompt.draw) for prompt in prompts]
        adapter = {"lora_request": _lora_request(self.adapter)} if self.adapter else {}
        goes_on = any(prompt.begun for prompt in prompts)
        found = engine.chat(
            [_conversation(prompt) for prompt in prompts],
            sampling,
            add_generation_prompt=not goes_on,
            continue_final_message=goes_on,
            use_tqdm=False,
            **adapter,
        )
        return [_reply(prompt, output) for prompt, output in zip(prompts, found, strict=True)]

    @property
    def _weights(self) -> Weights:
        return weights_of(self.model, self.revision)

    def _engine(self, lent: dict[str, Any]) -> Any:
        """The engine with the very weights that the identity names."""
        weights = self._weights
        key = json.dumps(["vllm", asdict(weights), self.dtype, self.memory_share, self.max_model_length, bool(self.adapter)])
        if key not in lent:
            lent[key] = _vllm().LLM(
                model=self.model,
                revision=weights.revision,
                dtype=self.dtype,
                gpu_memory_utilization=self.memory_share,
                max_model_len=self.max_model_length,
                seed=self.seed,
                enable_prefix_caching=True,
                enable_lora=bool(self.adapter),
                trust_remote_code=False,
            )
        return lent[key]


def _vllm() -> Any:
    try:
        import vllm
    except ImportError:
        raise MissingExtraError("vllm", "vllm", "generator.kind: vllm") from None
    return vllm


def _lora_request(adapter: str) -> Any:
    """The adapter by its content: vLLM keeps the weights of a name and number that it has seen."""
    from vllm.lora.request import LoRARequest

    sha256 = content_sha256(local_path(adapter))
    return LoRARequest(sha256, 1 + int(sha256[:7], 16), str(local_path(adapter)))


def _conversation(prompt: Prompt) -> list[dict[str, str]]:
    turns = [{"role": turn.role, "content": turn.content} for turn in prompt.turns]
    return [*turns, {"role": "assistant", "content": prompt.begun}] if prompt.begun else turns


def _reply(prompt: Prompt, output: Any) -> Reply:
    said = output.outputs[0]
    return Reply(prompt.begun + said.text, len(said.token_ids), len(output.prompt_token_ids), said.finish_reason != "length")
