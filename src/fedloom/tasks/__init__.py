"""What a client optimises."""

from fedloom.tasks.base import LossPart, Measures, Rows, Task, tasks
from fedloom.tasks.sft import SFT

register = tasks.register

__all__ = ["SFT", "LossPart", "Measures", "Rows", "Task", "register", "tasks"]
