"""What a client optimises."""

from fedloom.tasks.base import LossPart, Rows, Sums, Task, tasks
from fedloom.tasks.classify import Classify
from fedloom.tasks.classify_head import ClassifyHead
from fedloom.tasks.classify_pictures import ClassifyPictures
from fedloom.tasks.classify_text import ClassifyText
from fedloom.tasks.dpo import DPO
from fedloom.tasks.kto import KTO
from fedloom.tasks.orpo import ORPO
from fedloom.tasks.radiance import Radiance
from fedloom.tasks.sft import SFT

register = tasks.register

__all__ = [
    "DPO",
    "KTO",
    "ORPO",
    "SFT",
    "Classify",
    "ClassifyHead",
    "ClassifyPictures",
    "ClassifyText",
    "LossPart",
    "Radiance",
    "Rows",
    "Sums",
    "Task",
    "register",
    "tasks",
]
