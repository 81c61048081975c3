"""Training data that a model writes: generators, prompts, parsing, filters, retrieval. Importing it registers its parts."""

from fedloom.synthesis import fedgc, generators, knowledgesg, u2s
from fedloom.synthesis.filters import pair_filters
from fedloom.synthesis.generator import Generator
from fedloom.synthesis.generator import generators as generator_registry

__all__ = ["Generator", "fedgc", "generator_registry", "generators", "knowledgesg", "pair_filters", "u2s"]
