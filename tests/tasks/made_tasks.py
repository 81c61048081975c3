"""Every registered task with a model and four rows of its own."""

from dataclasses import dataclass

import numpy as np
import torch
from torch import nn

from fedloom.data.records import Conversation, Picture, Provenance, Record, Turn
from fedloom.models.bench import BenchPlan, make_bench
from fedloom.models.flat import FlatParameters
from fedloom.recipe import AdapterRecipe, DataRecipe, ModelRecipe
from fedloom.state import State
from fedloom.tasks import Rows, Task, tasks
from fedloom.tasks.classify import Labels

QUESTIONS = {
    "color of sky?": ("yes", "no, red as blood"),
    "can a stone fly? say it in one word": ("no", "yes"),
    "legs of ant?": ("yes", "two and two make four"),
    "hot": ("no", "a very long answer that is not right"),
}
"""Question -> the answer, which is also a label, and one that was found worse: rows that every task on conversations takes."""


NETWORKS = {"picture_net": "resnet8", "text_net": "bag-of-words"}
"""Kind of model -> a model of it; all others are language models."""


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
    parameters: FlatParameters


def make(kind, folder, adapter=True, **settings):
    """The registered task `kind` with its settings and what it needs for a real batch; `folder` takes its rows."""
    labels = {"labels": ("yes", "no")} if issubclass(tasks.get(kind), Labels) else {}
    task = tasks.get(kind)(**labels, **settings)
    adapted = adapter and task.model_kind not in NETWORKS
    recipe = ModelRecipe(id=NETWORKS.get(task.model_kind, "tiny-llama"), device="cpu", adapter=AdapterRecipe(rank=4) if adapted else None)
    data = DataRecipe(template="chat", max_length=96)
    bench = make_bench(BenchPlan(recipe, task.model_kind, task.labels_of_head, data, seed=1))
    stream = torch.Generator().manual_seed(2)
    moved = bench.parameters.weights + 0.05 * torch.randn(bench.parameters.weights.shape, generator=stream)
    bench.parameters.load(State(bench.parameters.layout, moved))
    records = conversations() if task.record == "conversation" else pictures()
    return Made(task, bench.model, task.load(task.encode(records, bench.encoder, folder)), records, bench.parameters)
