"""Classification with a head: its loss against transformers' own, and the model that is handed out."""

import json
import subprocess
import sys

import pytest
import torch
from peft import PeftModel
from transformers import AutoModelForSequenceClassification, AutoTokenizer

import fedloom
from fedloom.data.records import Conversation, Provenance, Turn
from fedloom.errors import DataError, ModelError
from fedloom.models.catalogue import fetch
from fedloom.models.encoders import TextEncoder
from fedloom.models.load import load_model
from fedloom.models.trainable import make_trainable
from fedloom.recipe import AdapterRecipe, ModelRecipe
from fedloom.tasks import ClassifyHead

LABELS = ("red", "blue", "green and yellow")
TASK = ClassifyHead(labels=LABELS)


def row(asked, label):
    return Conversation((Turn("user", asked), Turn("assistant", label)), Provenance.PRIVATE)


ROWS = [row("color of sky?", "blue"), row("color of blood, in one word?", "red"), row("leaf", "green and yellow"), row("sea", "blue")]


@pytest.fixture
def headed():
    """tiny-llama with an adapter and a head, both of which say something."""
    loaded = load_model(ModelRecipe(id="tiny-llama", device="cpu"), LABELS)
    model = make_trainable(loaded.model, AdapterRecipe(rank=4), 1)
    stream = torch.Generator().manual_seed(2)
    for parameter in model.parameters():
        if parameter.requires_grad:
            parameter.data.normal_(0.0, 0.1, generator=stream)
    return model, loaded.tokenizer


def test_a_new_head_finds_every_label_as_likely():
    model = load_model(ModelRecipe(id="tiny-llama", device="cpu"), LABELS).model
    assert model.score.weight.shape == (3, 64)
    assert not model.score.weight.any()
    assert model.config.id2label == dict(enumerate(LABELS))


def test_the_head_and_the_adapter_are_trained_and_nothing_else(headed):
    trained = {name for name, parameter in headed[0].named_parameters() if parameter.requires_grad}
    assert {name for name in trained if "lora_" not in name} == {"base_model.model.score.modules_to_save.default.weight"}


@torch.no_grad()
def test_the_loss_is_that_of_transformers(headed, tmp_path):
    model, tokenizer = headed
    rows = TASK.load(TASK.encode(ROWS, TextEncoder(tokenizer, "chat", 64), tmp_path))
    alone = [
        model(
            input_ids=torch.tensor([tokenizer.apply_chat_template([{"role": "user", "content": one.turns[0].content}], tokenize=True,
                                                                  add_generation_prompt=True, return_dict=True)["input_ids"]]),
            labels=torch.tensor([LABELS.index(one.response)]),
        )
        for one in ROWS
    ]  # fmt: skip
    expected = sum(float(output.loss) for output in alone) / len(ROWS)
    assert float(sum(part.loss for part in TASK.losses(model, rows, range(4)))) == pytest.approx(expected, abs=1e-5)
    sums = TASK.evaluate(model, rows, (0, 1, 2, 3), 2)
    assert sums["loss"] / sums["terms"] == pytest.approx(expected, abs=1e-5)
    assert sums["right"] == sum(LABELS[int(output.logits.argmax())] == one.response for output, one in zip(alone, ROWS, strict=True))


def test_a_long_prompt_keeps_its_end(headed, tmp_path):
    _, tokenizer = headed
    rows = TASK.load(TASK.encode([row("word " * 40, "red"), row("a", "red")], TextEncoder(tokenizer, "chat", 24), tmp_path))
    whole = TASK.load(TASK.encode([row("word " * 40, "red")], TextEncoder(tokenizer, "chat", 500), tmp_path))
    assert (rows.truncated, rows.lengths().tolist()[0]) == (1, 24)
    assert rows.padded([0], 0)[0].tolist() == whole.padded([0], 0)[0, -24:].tolist()


def test_further_right_answers_count(headed, tmp_path):
    model, tokenizer = headed
    rows = TASK.load(TASK.encode([row("any color?", label) for label in LABELS], TextEncoder(tokenizer, "chat", 64), tmp_path))
    sums = TASK.evaluate(model, rows, (0, 0, 0), 16)
    assert sums["right"] == sums["rows"] == 1


def test_a_response_that_is_no_label_is_counted_and_never_shown(headed, tmp_path):
    with pytest.raises(DataError, match=r"task\.labels: 1 of 1 rows") as caught:
        TASK.encode([row("q", "secret")], TextEncoder(headed[1], "chat", 64), tmp_path)
    assert "secret" not in str(caught.value)


@pytest.fixture
def flying(tmp_path):
    """Two clients with rows of one question, and the overrides that let tiny classify them."""
    words = {"yes": "bird bat bee kite jet", "no": "stone house fish car tree"}
    for client in ("air", "field"):
        rows = [{"question": f"{client}: can {word} fly?", "answer": label} for label, some in words.items() for word in some.split() * 2]
        (tmp_path / "rows").mkdir(exist_ok=True)
        (tmp_path / "rows" / f"{client}.jsonl").write_text("".join(json.dumps(one) + "\n" for one in rows))
    return {
        "data": {"source": str(tmp_path / "rows"), "partition": {"kind": "by_source"}, "held_out": 0.2},
        "task": {"kind": "classify_head", "labels": ["yes", "no"], "steps": 6, "batch_size": 8, "learning_rate": 0.01},
        "federation": {"rounds": 4},
        "evaluate": {"every": 4, "baselines": ["base", "majority", "centralized"]},
    }


def test_a_run_learns_and_its_adapter_loads_in_peft(flying, tmp_path):
    run = fedloom.run("tiny", tmp_path / "run", **flying)
    assert run.metrics["federated/loss"] < 0.9 * run.metrics["base/loss"]
    assert run.metrics["base/loss"] == pytest.approx(0.6931, abs=1e-3)
    base = AutoModelForSequenceClassification.from_pretrained(fetch("tiny-llama"), num_labels=2)
    plain = PeftModel.from_pretrained(base, run.adapter_path).eval()
    merged = tmp_path / "merged"
    done = subprocess.run([sys.executable, "-m", "fedloom", "export", str(run.folder), str(merged), "--merge"], capture_output=True)
    assert done.returncode == 0, done.stderr
    whole = AutoModelForSequenceClassification.from_pretrained(merged).eval()
    assert whole.config.id2label == {0: "yes", 1: "no"}
    ids = AutoTokenizer.from_pretrained(merged)("can a bird fly?", return_tensors="pt").input_ids
    torch.testing.assert_close(plain(input_ids=ids).logits, whole(input_ids=ids).logits, atol=1e-4, rtol=1e-4)
    assert plain(input_ids=ids).logits.abs().sum() > 0


def test_workers_end_in_the_bytes_of_one_process(flying, tmp_path):
    short = flying | {"federation": {"rounds": 2}, "evaluate": {"baselines": []}}
    one, two = (fedloom.run("tiny", tmp_path / f"{n}", **short, workers=n) for n in (1, 2))
    assert one.adapter_sha256 == two.adapter_sha256
    assert one.status == two.status == "finished"


def test_a_model_that_chooses_a_label_does_not_chat(flying, tmp_path):
    from fedloom.chat import open_chat

    short = flying | {"federation": {"rounds": 1}, "evaluate": {"baselines": []}}
    run = fedloom.run("tiny", tmp_path / "run", **short)
    with pytest.raises(ModelError, match="cannot talk"):
        open_chat(run.folder, 8, 0.0)
