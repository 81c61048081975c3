"""tiny-llama, as it is and with an adapter; and every registered task with a model and rows of its own."""

from dataclasses import dataclass

import numpy as np
import pytest
import torch
from torch import nn

from fedloom.data.records import Conversation, Picture, Provenance, Record, Turn
from fedloom.models.adapters import attach_lora
from fedloom.models.bench import BenchPlan, make_bench
from fedloom.models.load import load_model
from fedloom.recipe import AdapterRecipe, DataRecipe, ModelRecipe
from fedloom.state import State
from fedloom.tasks import Rows, Task, tasks
from fedloom.tasks.classify import Labels


@pytest.fixture
def tiny():
    return load_model(ModelRecipe(id="tiny-llama", device="cpu"))


@pytest.fixture
def adapted(tiny):
    """tiny-llama with an adapter that says something: B is not zero."""
    model = attach_lora(tiny.model, AdapterRecipe(rank=4), 1)
    stream = torch.Generator().manual_seed(2)
    for name, parameter in model.named_parameters():
        if "lora_B" in name:
            parameter.data.normal_(0.0, 0.05, generator=stream)
    return model


QUESTIONS = {
    "color of sky?": ("yes", "no, red as blood"),
    "can a stone fly? say it in one word": ("no", "yes"),
    "legs of ant?": ("yes", "two and two make four"),
    "hot": ("no", "a very long answer that is not right"),
}
"""Question -> the answer, which is also a label, and one that was found worse: rows that every task on conversations takes."""


def conversations():
    return [
        Conversation((Turn("user", asked), Turn("assistant", right)), Provenance.PRIVATE, rejected=wrong)
        for asked, (right, wrong) in QUESTIONS.items()
    ]


def pictures():
    """Four pictures of 8 x 8, two of each class."""
    draws = np.random.default_rng(3)
    return [Picture(draws.integers(0, 256, (8, 8, 1), np.uint8), label, Provenance.PRIVATE) for label in ("yes", "no", "yes", "no")]


@dataclass(frozen=True)
class Made:
    """A task with a model whose trained values say something, and its four rows."""

    task: Task
    model: nn.Module
    rows: Rows
    records: list[Record]


@pytest.fixture
def made(tmp_path):
    """A function from the name of a registered task, with settings, to what it needs for a real batch."""

    def make(kind, **settings):
        labels = {"labels": ("yes", "no")} if issubclass(tasks.get(kind), Labels) else {}
        task = tasks.get(kind)(**labels, **settings)
        talks = task.record == "conversation"
        recipe = ModelRecipe(id="tiny-llama" if talks else "resnet8", device="cpu", adapter=AdapterRecipe(rank=4) if talks else None)
        data = DataRecipe(template="chat", max_length=96)
        bench = make_bench(BenchPlan(recipe, task.model_kind, task.labels_of_head, data, seed=1))
        stream = torch.Generator().manual_seed(2)
        moved = bench.parameters.weights + 0.05 * torch.randn(bench.parameters.weights.shape, generator=stream)
        bench.parameters.load(State(bench.parameters.layout, moved))
        records = conversations() if talks else pictures()
        return Made(task, bench.model, task.load(task.encode(records, bench.encoder, tmp_path)), records)

    return make
