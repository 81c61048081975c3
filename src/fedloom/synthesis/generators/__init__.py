"""The generators. Of text: a model of transformers in this process, vLLM, an OpenAI-compatible server, and one that goes by rule.

Of pictures: a pipeline of diffusers, a small diffusion model that is trained here, and principal directions.
"""

from fedloom.synthesis.generators import diffusers, diffusion, endpoint, principal, scripted, transformers, vllm

__all__ = ["diffusers", "diffusion", "endpoint", "principal", "scripted", "transformers", "vllm"]
