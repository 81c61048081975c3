"""The kinds of model, one file each."""

from fedloom.models.kinds.base import BuiltModel, ModelKind, kinds
from fedloom.models.kinds.causal_lm import CausalLM
from fedloom.models.kinds.field import FieldKind
from fedloom.models.kinds.picture_net import PictureNetKind
from fedloom.models.kinds.sequence_classifier import SequenceClassifier
from fedloom.models.kinds.text_net import TextNetKind

register = kinds.register

__all__ = ["BuiltModel", "CausalLM", "FieldKind", "ModelKind", "PictureNetKind", "SequenceClassifier", "TextNetKind", "kinds", "register"]
