"""Dressed people in separate layers, from a few photographs (USR, arXiv 2302.10518)."""
