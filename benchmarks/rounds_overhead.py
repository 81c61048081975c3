"""A federated run takes as long as an uninterrupted one: rounds against a plain loop over the same batches, client after client.

Two clients of ten steps of two rows a round, bf16, LoRA of rank 16 on all linear layers, rows of 64 to 96 tokens. A round's seconds go from
its draw to the joined state; the plain loop runs after every round, and the median of the pairs counts. The first pair does not: worker
processes start in it. A plain loop computes all logits, ours does not, so the overhead is also told beside the local training in the round.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from statistics import median

from promise import Promise, script
from timing import cores, seconds

from fedloom.federation.observer import Observer

ROUNDS = 3


def measure(tiny: bool) -> Iterator[Promise]:
    import torch
    from baselines import PlainLoop, bench_recipe, drawn_batches
    from rows import ragged, write_rows
    from runs import metric_of, run_in

    torch.set_num_threads(cores())
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        recipe = bench_recipe(
            tiny,
            {
                "model.dtype": "bfloat16",
                "data.source": str(folder / "rows.jsonl"),
                "data.partition": {"kind": "by_field", "field": "client"},
                "task.batch_size": 2,
                "task.steps": 2 if tiny else 10,
                "federation.rounds": ROUNDS,
            },
        )
        loop = PlainLoop(recipe)
        write_rows(folder / "rows.jsonl", {name: ragged(80, 64, 96, 0.2, seed) for seed, name in enumerate("ab")}, loop.loaded.tokenizer)
        batches = drawn_batches(recipe, ROUNDS, loop.loaded.tokenizer, folder)

        def plain() -> float:
            return seconds(lambda: [loop.step(batch) for batch in batches])

        loop.step(batches[0])
        adapters = {}
        for workers, limit in ((1, 1.05), (2, 0.9)):
            beside = PlainAfterEveryRound(plain)
            threads = cores() // workers
            run = run_in(folder / f"workers-{workers}", recipe, {"federation.workers": workers, "federation.threads": threads}, beside)
            adapters[workers] = str(run.adapter_sha256)
            whole, alone = beside.rounds[1:], beside.plain[1:]
            ratio = median(a / b for a, b in zip(whole, alone, strict=True))
            name = f"round of 2 clients x {len(batches) // 2} steps, workers={workers}"
            yield Promise(name, f"{min(whole):.2f} s", f"plain PyTorch + PEFT loop {min(alone):.2f} s", ratio, "<=", limit)
            if workers == 1:
                inner = [sum(metric_of(run, "train/seconds", number)) for number in range(2, ROUNDS + 1)]
                ratio = median(a / b for a, b in zip(whole, inner, strict=True))
                yield Promise(
                    "a round beside the training in it, workers=1", f"{min(whole):.2f} s", f"{min(inner):.2f} s", ratio, "<=", 1.05
                )
        alone = str(run_in(folder / "one-thread", recipe, {"federation.workers": 1, "federation.threads": 1}).adapter_sha256)
        name = "adapter bytes differ, 2 workers of one thread or one"
        yield Promise(name, f"2: {adapters[2][:12]}", f"1: {alone[:12]}", float(alone != adapters[2]), "<=", 0)


class PlainAfterEveryRound(Observer):
    """Lets the plain loop run while the federation waits between two rounds, so that a slow moment of the machine meets both."""

    def __init__(self, work: Callable[[], float]) -> None:
        self.work = work
        self.rounds: list[float] = []
        self.plain: list[float] = []

    def metric(self, round_number: int | None, client: str | None, name: str, value: float) -> None:
        if name == "round/seconds":
            self.rounds.append(value)
            self.plain.append(self.work())


if __name__ == "__main__":
    script(measure, __doc__.splitlines()[0])
