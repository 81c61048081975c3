"""FedLLM-Bench (Ye et al. 2024, arXiv 2406.04845): federations of real users, and how diverse they are."""
