"""A surface and its colours, seen in a few photographs of a person, as a field in space (USR, arXiv 2302.10518; NeuS, arXiv 2106.10689)."""
