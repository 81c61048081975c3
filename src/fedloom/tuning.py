"""Ordinary fine-tuning on the server, as finish steps do it: a state is trained further on rows that the server may read."""

from __future__ import annotations

from collections.abc import Sequence

from fedloom.algorithms.client import ClientHalf
from fedloom.data.records import Conversation
from fedloom.errors import DataError
from fedloom.models.bench import Bench
from fedloom.state import State
from fedloom.streams import stream_seed, torch_stream
from fedloom.tasks.encoding import encode_learnable
from fedloom.tasks.gradients import PlainGradients
from fedloom.tasks.sft import SFT
from fedloom.tasks.training import train


def tuned(state: State, bench: Bench, task: SFT, rows: Sequence[Conversation], seed: int, purpose: str, *address: int | str) -> State:
    """`state` after all steps of `task` on `rows`, at the task's own learning rate.

    `seed`, `purpose` and `address` name the stream that batches are drawn from. Raises DataError when nothing is left to train on.
    """
    encoded = encode_learnable(task, rows, bench.encoder)
    if not encoded.records:
        raise DataError(f"finish: {purpose}: what it trains on {task.why_untrainable}")
    loaded = task.load(encoded.path)
    batches = PlainGradients().draw(len(loaded), task, torch_stream(seed, f"{purpose}-batches", *address))
    bench.parameters.load(state)
    half = ClientHalf(state, {}, {})
    train(bench.model, bench.parameters, task, loaded, batches, task.learning_rate, half, stream_seed(seed, f"{purpose}-dropout"))
    return bench.parameters.state()
