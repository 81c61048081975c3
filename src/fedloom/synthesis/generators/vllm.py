"""The generator `vllm`: a causal language model that vLLM runs in this process, on CUDA devices (the extra `vllm`)."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any

from pydantic import Field

from fedloom.errors import MissingExtraError
from fedloom.files import content_sha256, local_path, version_of
from fedloom.registry import PLACE
from fedloom.synthesis.generator import Generator, MaxNewTokens, Prompt, Reply, Seed, Temperature, generators

ADAPTER = "fedloom"


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
        settings = {name: value for name, value in vars(self).items() if name not in ("memory_share", "model", "adapter")}
        adapter = content_sha256(local_path(self.adapter)) if self.adapter else None
        return {"kind": "vllm", "model": version_of(self.model), "adapter": adapter, **settings}

    def replies(
        self, prompts: Sequence[Prompt], stop: Sequence[str], known: Collection[int], lent: dict[str, Any]
    ) -> Iterator[tuple[int, Reply]]:
        vllm, engine = _vllm(), self._engine(lent)
        sampling = vllm.SamplingParams(
            temperature=self.temperature, max_tokens=self.max_new_tokens, stop=list(stop) or None, seed=self.seed
        )
        places = [place for place in range(len(prompts)) if place not in known]
        adapter = {"lora_request": _lora_request(self.adapter)} if self.adapter else {}
        conversations = [[{"role": turn.role, "content": turn.content} for turn in prompts[place].turns] for place in places]
        begun = [prompts[place].begun for place in places]
        for conversation, text in zip(conversations, begun, strict=True):
            if text:
                conversation.append({"role": "assistant", "content": text})
        goes_on = any(begun)
        found = engine.chat(
            conversations, sampling, add_generation_prompt=not goes_on, continue_final_message=goes_on, use_tqdm=False, **adapter
        )
        for place, text, output in zip(places, begun, found, strict=True):
            said = output.outputs[0]
            yield place, Reply(text + said.text, len(said.token_ids), len(output.prompt_token_ids), said.finish_reason != "length")

    def _engine(self, lent: dict[str, Any]) -> Any:
        key = f"vllm {self.model} {self.revision} {self.dtype} {self.memory_share} {self.max_model_length} {bool(self.adapter)}"
        if key not in lent:
            lent[key] = _vllm().LLM(
                model=self.model,
                revision=self.revision,
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
    from vllm.lora.request import LoRARequest

    return LoRARequest(ADAPTER, 1, str(local_path(adapter)))
