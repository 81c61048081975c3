"""FedLLM-Bench (Ye et al. 2024, arXiv 2406.04845): federations of real users, and how diverse they are.

Importing it registers its parts.
"""

from fedloom.bench import look_alike_source

__all__ = ["look_alike_source"]
