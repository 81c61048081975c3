"""Differential privacy: accounting, private gradients, the ledger of what an owner has spent."""

from fedloom.privacy.accounting import epsilon, noise_multiplier

__all__ = ["epsilon", "noise_multiplier"]
