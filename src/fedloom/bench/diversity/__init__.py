"""The diversity analyses of FedLLM-Bench, one file each: in what the rows of a federation's clients differ."""

from fedloom.bench.diversity.base import Analysis, Columns, Tools, analyses
from fedloom.bench.diversity.embedding import Embedding
from fedloom.bench.diversity.found import Found
from fedloom.bench.diversity.instruction import Instruction
from fedloom.bench.diversity.language import Language
from fedloom.bench.diversity.length import Length
from fedloom.bench.diversity.preference import Preference
from fedloom.bench.diversity.quality import Quality
from fedloom.bench.diversity.quantity import Quantity

register = analyses.register

__all__ = [
    "Analysis",
    "Columns",
    "Embedding",
    "Found",
    "Instruction",
    "Language",
    "Length",
    "Preference",
    "Quality",
    "Quantity",
    "Tools",
    "analyses",
    "register",
]
