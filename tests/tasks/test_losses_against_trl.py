"""The preference losses are those of TRL, on the same pairs, model and adapter, in fp32."""

import os

import pytest
import torch

from fedloom.data.records import Conversation, Provenance, Turn
from fedloom.data.templates import render_prompt
from fedloom.models.adapters import attach_lora
from fedloom.models.encoders import TextEncoder
from fedloom.models.load import load_model
from fedloom.recipe import AdapterRecipe, ModelRecipe
from fedloom.tasks import DPO, KTO, ORPO

pytest.importorskip("trl")

PAIRS = (
    ("color of sky?", "blue", "red as blood"),
    ("can a stone fly? say it in one word, and say only that", "no", "yes"),
    ("opposite of hot?", "that would be cold", "hot"),
    ("legs of an ant?", "six", "two and two make four"),
)
ADAPTER = AdapterRecipe(rank=4, alpha=8, targets=["q_proj", "v_proj"])


def pair(asked, chosen, rejected):
    return Conversation((Turn("user", asked), Turn("assistant", chosen)), Provenance.PUBLIC, rejected=rejected)


def tiny():
    return load_model(ModelRecipe(id="tiny-llama", device="cpu"))


@pytest.fixture(scope="module")
def adapted(tmp_path_factory):
    """The tiny model with an adapter that does something, and its tokenizer."""
    before = os.environ.get("FEDLOOM_HOME")
    os.environ["FEDLOOM_HOME"] = str(tmp_path_factory.mktemp("home"))
    loaded = tiny()
    model = attach_lora(loaded.model, ADAPTER, seed=1)
    stream = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.requires_grad:
                parameter.copy_(0.3 * torch.randn(parameter.shape, generator=stream))
    yield model, loaded.tokenizer
    os.environ.pop("FEDLOOM_HOME")
    if before:
        os.environ["FEDLOOM_HOME"] = before


def rows_of(task, tokenizer, folder, examples):
    return task.load(task.encode(examples, TextEncoder(tokenizer, "vicuna", 512), folder))


def batch_loss(task, model, rows):
    return sum(float(part.loss.detach()) for part in task.losses(model, rows, range(len(rows))))


def trainer_of(kind, config, adapted, folder, columns):
    """TRL's trainer around a model of its own with our adapter's weights."""
    from datasets import Dataset
    from peft import LoraConfig

    model, tokenizer = adapted
    settings = {"output_dir": str(folder), "use_cpu": True, "bf16": False, "report_to": [], "per_device_train_batch_size": len(PAIRS)}
    trainer = kind(
        model=tiny().model,
        args=config(**settings, beta=0.1, max_length=512, disable_dropout=True),
        train_dataset=Dataset.from_list(columns),
        processing_class=tokenizer,
        peft_config=LoraConfig(r=4, lora_alpha=8, target_modules=["q_proj", "v_proj"], task_type="CAUSAL_LM"),
    )
    ours = dict(model.named_parameters())
    with torch.no_grad():
        for name, parameter in trainer.model.named_parameters():
            if parameter.requires_grad:
                parameter.copy_(ours[name])
    return trainer


def pair_columns(tokenizer):
    return [
        {
            "prompt": render_prompt([Turn("user", asked)], tokenizer, "vicuna").text + " ",
            "chosen": chosen,
            "rejected": rejected,
        }
        for asked, chosen, rejected in PAIRS
    ]


def test_dpo_has_the_loss_of_trl(adapted, tmp_path):
    from trl import DPOConfig, DPOTrainer

    model, tokenizer = adapted
    task = DPO(max_prompt_length=256)
    rows = rows_of(task, tokenizer, tmp_path, [pair(*words) for words in PAIRS])
    trainer = trainer_of(DPOTrainer, DPOConfig, adapted, tmp_path, pair_columns(tokenizer))
    batch = next(iter(trainer.get_train_dataloader()))
    theirs = float(trainer.compute_loss(trainer.model, batch).detach())
    assert batch["completion_mask"].sum() == rows.tokens.supervised_counts().sum()
    assert abs(theirs - 0.6931) > 0.01
    assert batch_loss(task, model, rows) == pytest.approx(theirs, abs=1e-4)


def test_orpo_has_the_loss_of_trl(adapted, tmp_path):
    from trl.experimental.orpo import ORPOConfig, ORPOTrainer

    model, tokenizer = adapted
    task = ORPO(max_prompt_length=256)
    rows = rows_of(task, tokenizer, tmp_path, [pair(*words) for words in PAIRS])
    trainer = trainer_of(ORPOTrainer, ORPOConfig, adapted, tmp_path, pair_columns(tokenizer))
    ids, labels, there = rows.padded(range(len(rows)))
    batch = {}
    for name, first in (("chosen", 0), ("rejected", 1)):
        batch |= {f"{name}_input_ids": ids[first::2], f"{name}_labels": labels[first::2], f"{name}_attention_mask": there[first::2].long()}
    theirs, _ = trainer.get_batch_loss_metrics(trainer.model, batch)
    assert batch_loss(task, model, rows) == pytest.approx(float(theirs.detach()), abs=1e-4)


def test_kto_has_the_loss_of_trl(adapted, tmp_path):
    from trl import KTOConfig, KTOTrainer

    model, tokenizer = adapted
    task = KTO(desirable_weight=1.2, batch_size=4, max_prompt_length=256)
    good = ["True", "False", "True", "True"]
    examples = [
        Conversation((Turn("user", asked), Turn("assistant", answer)), Provenance.PUBLIC, {"label": label})
        for (asked, answer, _), label in zip(PAIRS, good, strict=True)
    ]
    rows = rows_of(task, tokenizer, tmp_path, examples)
    columns = [
        {"prompt": row["prompt"], "completion": row["chosen"], "label": label == "True"}
        for row, label in zip(pair_columns(tokenizer), good, strict=True)
    ]
    trainer = trainer_of(KTOTrainer, lambda **settings: KTOConfig(**settings, desirable_weight=1.2), adapted, tmp_path, columns)
    batch = next(iter(trainer.get_train_dataloader()))
    theirs = float(trainer.compute_loss(trainer.model, batch).detach())
    assert batch_loss(task, model, rows) == pytest.approx(theirs, abs=1e-4)
