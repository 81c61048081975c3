"""Breaking safety in a federation on purpose, measuring it, and repairing it."""

from fedloom.safety import attack, helpfulness, probes, repair, sources, triggered
from fedloom.safety.policy import Policy, load_policy

__all__ = ["Policy", "attack", "helpfulness", "load_policy", "probes", "repair", "sources", "triggered"]
