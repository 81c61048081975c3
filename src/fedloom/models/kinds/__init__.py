"""The kinds of model, one file each."""

from fedloom.models.kinds.base import BuiltModel, ModelKind, kinds
from fedloom.models.kinds.causal_lm import CausalLM
from fedloom.models.kinds.residual_net import ResidualNetKind
from fedloom.models.kinds.sequence_classifier import SequenceClassifier

register = kinds.register

__all__ = ["BuiltModel", "CausalLM", "ModelKind", "ResidualNetKind", "SequenceClassifier", "kinds", "register"]
