"""One local step against the step of TRL's SFTTrainer: same model, same batch, same precision (fp32), equal loss.

8 rows as long as the demo's (quantiles 1/16, 3/16 ... of their lengths), the last fifth of each is response. TRL's step
is training_step on what its own collator gives, clipping and AdamW. The promise is against its step without gradient checkpointing, which
is what we do; its default, with it, is reported.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from typing import Any

from promise import Promise, script
from timing import cores, in_turn

LENGTHS = (193, 106, 57, 142, 61, 198, 91, 124)
"""Tokens of the rows."""


def measure(tiny: bool) -> Iterator[Promise]:
    import torch
    from baselines import bench_recipe, task_of
    from rows import random_rows

    from fedloom.algorithms import ClientHalf
    from fedloom.data.tokenise import TokenRows
    from fedloom.models.adapters import attach_lora
    from fedloom.models.flat import FlatParameters
    from fedloom.models.load import load_model
    from fedloom.tasks.training import train

    torch.set_num_threads(cores())
    recipe = bench_recipe(tiny, {"task.batch_size": len(LENGTHS), "task.steps": 1, "task.learning_rate": 1e-4})
    loaded, task = load_model(recipe.model), task_of(recipe)
    rows = random_rows(loaded.model.config.vocab_size, LENGTHS)
    assert isinstance(rows, TokenRows)
    assert recipe.model.adapter is not None
    model = attach_lora(loaded.model, recipe.model.adapter, recipe.seed)
    parameters = FlatParameters(model)
    start, every = parameters.state(), [[list(range(len(rows)))]]

    def ours() -> float:
        parameters.load(start)
        return train(model, parameters, task, rows, every, task.learning_rate, ClientHalf(start, {}, {}), recipe.seed).loss

    for checkpointing in (False, True):
        step = _TrlStep(recipe, rows, start, checkpointing)
        difference = abs(ours() - step())
        fast, slow = in_turn(ours, step, 1 if tiny else 2)
        tokens = sum(LENGTHS)
        yield Promise(
            f"speed of a local step, {len(LENGTHS)} rows, {tokens} tokens, fp32",
            f"{fast:.2f} s",
            f"TRL's step {'as it comes, checkpointed' if checkpointing else 'without checkpointing'} {slow:.2f} s",
            slow / fast,
            ">=",
            None if checkpointing else 1.4,
        )
        yield Promise("loss of that step differs by", f"{difference:.1e}", "TRL's loss", difference, "<=", 1e-4)


class _TrlStep:
    """A call is one optimiser step of SFTTrainer on `rows` from `start`; gives the loss."""

    def __init__(self, recipe: Any, rows: Any, start: Any, checkpointing: bool) -> None:
        from datasets import Dataset
        from peft import LoraConfig
        from trl import SFTConfig, SFTTrainer

        from fedloom.models.load import load_model
        from fedloom.models.quiet import quiet

        adapter = recipe.model.adapter
        assert adapter is not None
        loaded = load_model(recipe.model)
        examples = []
        for ids, mask in map(rows.row, range(len(rows))):
            examples.append({"input_ids": ids.tolist(), "labels": ids.masked_fill(~mask, -100).tolist()})
        self.start = start
        with quiet(), tempfile.TemporaryDirectory() as folder:
            self.trainer: Any = SFTTrainer(
                loaded.model,
                SFTConfig(
                    folder,
                    per_device_train_batch_size=len(rows),
                    gradient_checkpointing=checkpointing,
                    bf16=False,
                    use_cpu=True,
                    learning_rate=recipe.task.settings["learning_rate"],
                    report_to=[],
                ),
                train_dataset=Dataset.from_list(examples),
                processing_class=loaded.tokenizer,
                peft_config=LoraConfig(
                    r=adapter.rank, lora_alpha=int(adapter.alpha), target_modules=adapter.targets, task_type="CAUSAL_LM"
                ),
            )
        self.trainer.create_optimizer()
        self.trainer.current_gradient_accumulation_steps = 1
        self.batch = self.trainer.data_collator(examples)
        self.trained = {name: parameter for name, parameter in self.trainer.model.named_parameters() if parameter.requires_grad}
        assert list(self.trained) == list(start), "TRL's adapter should have the same parameters as ours"

    def __call__(self) -> float:
        import torch

        for name, parameter in self.trained.items():
            parameter.data.copy_(self.start[name])
        loss = self.trainer.training_step(self.trainer.model, dict(self.batch))
        torch.nn.utils.clip_grad_norm_(list(self.trained.values()), 1.0)
        self.trainer.optimizer.step()
        self.trainer.model.zero_grad()
        return loss.item()


if __name__ == "__main__":
    script(measure, __doc__.splitlines()[0])
