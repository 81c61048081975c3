"""What we are compared with: loops as they are written without this program, over PyTorch, PEFT and the loss of transformers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import pad_sequence

from fedloom.data.clients import build_clients
from fedloom.data.tokenise import TokenRows
from fedloom.models.encoders import TextEncoder
from fedloom.models.load import LoadedModel, load_model
from fedloom.models.quiet import quiet
from fedloom.recipe import Recipe
from fedloom.resolve import load_recipe
from fedloom.streams import torch_stream
from fedloom.tasks import Task, tasks
from fedloom.tasks.gradients import PlainGradients

Batch = dict[str, Tensor]


class PlainLoop:
    """One uninterrupted training run: all logits, batches padded to the longest row with a mask, AdamW, clipping to norm 1."""

    def __init__(self, recipe: Recipe, checkpointing: bool = False) -> None:
        from peft import LoraConfig, get_peft_model

        self.loaded: LoadedModel = load_model(recipe.model)
        adapter = recipe.model.adapter
        assert adapter is not None
        config = LoraConfig(
            r=adapter.rank,
            lora_alpha=int(adapter.alpha),
            lora_dropout=adapter.dropout,
            target_modules=adapter.targets,
            task_type="CAUSAL_LM",
        )
        with quiet():
            self.model: Any = get_peft_model(self.loaded.model, config)
        if checkpointing:
            self.model.enable_input_require_grads()
            self.model.gradient_checkpointing_enable({"use_reentrant": False})
        self.trained = [parameter for parameter in self.model.parameters() if parameter.requires_grad]
        self.optimiser = torch.optim.AdamW(self.trained, lr=task_of(recipe).learning_rate, weight_decay=0.0)
        self.model.train()

    def step(self, batch: Batch) -> float:
        """One optimiser step; gives the loss."""
        loss = self.model(**batch, use_cache=False).loss
        loss.backward()
        nn.utils.clip_grad_norm_(self.trained, 1.0)
        self.optimiser.step()
        self.optimiser.zero_grad()
        return loss.item()


def drawn_batches(recipe: Recipe, round_number: int, tokenizer: Any, cache: Path) -> list[Batch]:
    """The batches that all clients of a run of `recipe` draw in one round, client after client."""
    task = task_of(recipe)
    assert recipe.data.template is not None
    assert recipe.data.max_length is not None
    encoder = TextEncoder(tokenizer, recipe.data.template, recipe.data.max_length)
    batches = []
    for client in build_clients(recipe.data, recipe.federation.clients, recipe.seed).clients:
        rows = task.load(task.encode(client.train, encoder, cache))
        assert isinstance(rows, TokenRows)
        for step in PlainGradients().draw(len(rows), task, torch_stream(recipe.seed, "batches", round_number, client.name)):
            batches += [padded(rows, batch) for batch in step]
    return batches


def task_of(recipe: Recipe) -> Task:
    return tasks.get(recipe.task.kind)(**recipe.task.settings)


def padded(rows: TokenRows, indices: Sequence[int]) -> Batch:
    """Rows as transformers takes them: input_ids, attention_mask and labels of shape (rows, longest)."""
    found = [rows.row(index) for index in indices]
    return {
        "input_ids": pad_sequence([ids for ids, _ in found], batch_first=True),
        "attention_mask": pad_sequence([torch.ones_like(ids) for ids, _ in found], batch_first=True),
        "labels": pad_sequence([ids.masked_fill(~mask, -100) for ids, mask in found], batch_first=True, padding_value=-100),
    }


def bench_recipe(tiny: bool, parts: Mapping[str, Any]) -> Recipe:
    """A recipe with `parts` (dotted keys) that trains and measures nothing else; `tiny` puts the tiny model in place of SmolLM2."""
    plain = {
        "name": "bench",
        "model": {"id": "tiny-llama" if tiny else "smollm2-135m-instruct", "device": "cpu"},
        "data": {"held_out": 0},
        "evaluate": {"every": 0, "baselines": [], "samples": 0},
    }
    return load_recipe(plain, parts)
