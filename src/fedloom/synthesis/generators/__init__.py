"""The generators: a model of transformers in this process, vLLM, an OpenAI-compatible server, and one that goes by rule."""

from fedloom.synthesis.generators import endpoint, scripted, transformers, vllm

__all__ = ["endpoint", "scripted", "transformers", "vllm"]
