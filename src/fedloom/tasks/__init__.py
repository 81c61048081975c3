"""What a client optimises."""

from fedloom.tasks.base import LossPart, Measures, Rows, Task, tasks
from fedloom.tasks.classify import Classify
from fedloom.tasks.classify_head import ClassifyHead
from fedloom.tasks.dpo import DPO
from fedloom.tasks.kto import KTO
from fedloom.tasks.orpo import ORPO
from fedloom.tasks.sft import SFT

register = tasks.register

__all__ = ["DPO", "KTO", "ORPO", "SFT", "Classify", "ClassifyHead", "LossPart", "Measures", "Rows", "Task", "register", "tasks"]
