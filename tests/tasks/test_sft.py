"""Supervised fine-tuning: the loss, the gradients and the measures are those of plain transformers, and of TRL."""

import math
from types import SimpleNamespace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from fedloom.data.fields import read_conversations
from fedloom.data.records import Conversation, Provenance, Turn
from fedloom.data.rows import Row
from fedloom.data.templates import render_prompt
from fedloom.data.tokenise import TokenRows, tokenise
from fedloom.models.encoders import TextEncoder
from fedloom.models.generate import generate
from fedloom.recipe import FieldsRecipe
from fedloom.tasks.sft import SFT, parts_of_similar_length, trained_logits

QUESTIONS = {"color of sky?": "blue", "say: legs of a very large and very old dog?": "four", "can kite fly?": "yes it can", "hi": "hot"}


def examples(pairs=None):
    pairs = pairs or QUESTIONS
    return [Conversation((Turn("user", ask), Turn("assistant", answer)), Provenance.PUBLIC) for ask, answer in pairs.items()]


def batch(rows, indices):
    """Ids, labels and attention mask as transformers takes them."""
    pairs = [rows.row(index) for index in indices]
    ids = torch.nn.utils.rnn.pad_sequence([ids for ids, _ in pairs], batch_first=True)
    labels = torch.nn.utils.rnn.pad_sequence([ids.masked_fill(~m, -100) for ids, m in pairs], batch_first=True, padding_value=-100)
    seen = torch.nn.utils.rnn.pad_sequence([torch.ones_like(ids) for ids, _ in pairs], batch_first=True)
    return {"input_ids": ids, "labels": labels, "attention_mask": seen}


def ours(model, rows, indices):
    """Loss and gradients of a batch, summed over its parts."""
    model.zero_grad()
    total = 0.0
    for part in SFT().losses(model, rows, indices):
        part.loss.backward()
        total += part.loss.item()
    return total, gradients(model)


def gradients(model):
    return {name: p.grad.clone() for name, p in model.named_parameters() if p.grad is not None}


def same_gradients(one, other):
    assert one.keys() == other.keys()
    for name in one:
        torch.testing.assert_close(one[name], other[name], atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("parts", [[[1], [0], [3], [2]], [[3, 1], [0, 2]], [[0, 1, 2, 3]]])
def test_loss_and_gradients_are_those_of_transformers_however_the_batch_is_cut(adapted, tiny, monkeypatch, parts):
    rows = tokenise(examples(), tiny.tokenizer, "chat", 64)
    assert len(set(rows.lengths().tolist())) > 1  # there is padding
    monkeypatch.setattr("fedloom.tasks.sft.parts_of_similar_length", lambda *_arguments, **_keywords: parts)
    loss, found = ours(adapted, rows, range(4))
    adapted.zero_grad()
    plain = adapted(**batch(rows, range(4))).loss
    plain.backward()
    assert loss == pytest.approx(float(plain), abs=1e-5)
    same_gradients(found, gradients(adapted))


def test_the_loss_is_the_mean_over_tokens_not_over_rows(adapted, tiny):
    rows = tokenise(examples(), tiny.tokenizer, "chat", 64)
    counts = rows.supervised_counts().tolist()
    assert len(set(counts)) > 1
    alone = [ours(adapted, rows, [i])[0] for i in range(4)]
    assert ours(adapted, rows, range(4))[0] == pytest.approx(
        sum(loss * count for loss, count in zip(alone, counts, strict=True)) / sum(counts), abs=1e-5
    )


def test_padding_on_the_right_changes_no_logit(adapted, tiny):
    rows = tokenise(examples(), tiny.tokenizer, "chat", 64)
    whole = batch(rows, range(4))
    together, _ = trained_logits(adapted, whole["input_ids"], whole["labels"])
    alone = [trained_logits(adapted, one["input_ids"], one["labels"])[0] for one in (batch(rows, [i]) for i in range(4))]
    torch.testing.assert_close(together, torch.cat(alone), atol=1e-5, rtol=1e-4)


def test_the_head_is_left_as_it_was(adapted, tiny):
    rows = tokenise(examples(), tiny.tokenizer, "chat", 64)
    ids = batch(rows, range(4))["input_ids"]
    before = adapted(input_ids=ids).logits
    ours(adapted, rows, range(4))
    assert torch.equal(adapted(input_ids=ids).logits, before)


def test_a_model_without_a_named_head_has_the_same_loss(adapted, tiny, monkeypatch):
    rows = tokenise(examples(), tiny.tokenizer, "chat", 64)
    with_head = ours(adapted, rows, range(4))
    monkeypatch.setattr(type(adapted.get_base_model()), "get_output_embeddings", lambda _self: None)
    without = ours(adapted, rows, range(4))
    assert without[0] == pytest.approx(with_head[0], abs=1e-6)
    same_gradients(without[1], with_head[1])


def test_the_loss_is_that_of_trl(adapted, tiny, tmp_path):
    from datasets import Dataset
    from trl import SFTConfig, SFTTrainer

    rows = tokenise(examples(), tiny.tokenizer, "chat", 64)
    pairs = [
        {"prompt": [{"role": "user", "content": ask}], "completion": [{"role": "assistant", "content": answer}]}
        for ask, answer in QUESTIONS.items()
    ]
    config = SFTConfig(
        output_dir=str(tmp_path),
        per_device_train_batch_size=4,
        max_length=64,
        report_to=[],
        bf16=False,
        gradient_checkpointing=False,
        use_cpu=True,
        disable_tqdm=True,
        dataloader_pin_memory=False,
    )
    trainer = SFTTrainer(model=adapted, args=config, train_dataset=Dataset.from_list(pairs), processing_class=tiny.tokenizer)
    (inputs,) = trainer.get_train_dataloader()
    theirs = {tuple(ids[seen.bool()].tolist()): labels for ids, seen, labels in zip(*map(inputs.get, KEYS), strict=True)}
    for index in range(4):
        ids, mask = rows.row(index)
        # the line break behind the last end of turn is text of the template; TRL trains on it, we do not
        assert tuple(ids.tolist()) in theirs
        theirs[tuple(ids.tolist())][len(ids) - 1] = -100
        trained = theirs[tuple(ids.tolist())][: len(ids)]
        assert torch.equal(trained >= 0, mask)
    loss = trainer.compute_loss(adapted, inputs)
    assert ours(adapted, rows, range(4))[0] == pytest.approx(float(loss), abs=1e-4)


def test_every_answer_of_a_conversation_is_trained_on_as_with_the_assistant_only_loss_of_trl(adapted, tiny, tmp_path):
    from datasets import Dataset
    from trl import SFTConfig, SFTTrainer

    conversations = [
        [("human", "color of sky?"), ("gpt", "blue"), ("human", "and of grass, if you please?"), ("gpt", "green, mostly")],
        [("system", "be brief"), ("human", "hi"), ("gpt", "hot"), ("human", "no"), ("gpt", "cold"), ("human", "so?"), ("gpt", "cool")],
    ]
    layout = [{"conversations": [{"from": who, "value": text} for who, text in turns]} for turns in conversations]
    records = read_conversations([Row(row, str(place)) for place, row in enumerate(layout)], FieldsRecipe(), Provenance.PUBLIC)
    rows = tokenise(list(records), tiny.tokenizer, "chat", 256)
    assert rows.truncated == 0
    tiny.tokenizer.chat_template = MARKED
    config = SFTConfig(
        output_dir=str(tmp_path), assistant_only_loss=True, per_device_train_batch_size=2, max_length=256, report_to=[], bf16=False,
        gradient_checkpointing=False, use_cpu=True, disable_tqdm=True, dataloader_pin_memory=False,
    )  # fmt: skip
    messages = [{"messages": [{"role": turn.role, "content": turn.content} for turn in record.turns]} for record in records]
    trainer = SFTTrainer(model=adapted, args=config, train_dataset=Dataset.from_list(messages), processing_class=tiny.tokenizer)
    (inputs,) = trainer.get_train_dataloader()
    theirs = {tuple(ids[seen.bool()].tolist()): labels for ids, seen, labels in zip(*map(inputs.get, KEYS), strict=True)}
    for ids, mask in map(rows.row, range(2)):
        assert torch.equal(theirs[tuple(ids.tolist())][: len(ids)] >= 0, mask)
    assert ours(adapted, rows, range(2))[0] == pytest.approx(float(trainer.compute_loss(adapted, inputs)), abs=1e-4)


MARKED = (
    "{% for message in messages %}<|im_start|>{{ message['role'] }}\n{% if message['role'] == 'assistant' %}"
    "{% generation %}{{ message['content'] }}<|im_end|>{% endgeneration %}{% else %}{{ message['content'] }}<|im_end|>{% endif %}"
    "{{ '\n' }}{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
"""The template of the tiny model, with marks around what it says: TRL asks for these."""

KEYS = ("input_ids", "attention_mask", "labels")


def test_rows_without_a_response_token_are_told_from_the_others(tiny):
    rows = tokenise(examples({"a long enough question to lose its answer": "yes", "hi": "hot"}), tiny.tokenizer, "chat", 30)
    assert SFT().learnable(rows) == [False, True]


def test_a_row_without_response_tokens_beside_others_adds_nothing(adapted, tiny):
    long = tokenise(examples({"a long enough question to lose its answer": "yes", "hi": "hot"}), tiny.tokenizer, "chat", 30)
    assert long.supervised_counts()[0] == 0
    both, alone = ours(adapted, long, [0, 1]), ours(adapted, long, [1])
    assert both[0] == pytest.approx(alone[0], abs=1e-6)
    same_gradients(both[1], alone[1])


@settings(deadline=None)
@given(
    lengths=st.lists(st.integers(0, 300), min_size=1, max_size=40),
    rows=st.none() | st.integers(1, 9),
    tokens=st.integers(1, 2000),
    data=st.data(),
)
def test_parts_of_similar_length_cover_every_row_once_within_their_bounds(lengths, rows, tokens, data):
    indices = data.draw(st.lists(st.integers(0, len(lengths) - 1), max_size=60))
    parts = parts_of_similar_length(torch.tensor(lengths), indices, rows, tokens)
    assert sorted(index for part in parts for index in part) == sorted(indices)
    for part in parts:
        longest = max(lengths[index] for index in part)
        assert len(part) == 1 or len(part) * longest <= tokens
        assert rows is None or len(part) <= rows


def learnt(model, rows, steps=60):
    """`model`, after it has learnt some rows by heart."""
    optimiser = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], lr=1e-2)
    for _ in range(steps):
        optimiser.zero_grad()
        for part in SFT().losses(model, rows, [0, 1, 2]):
            part.loss.backward()
        optimiser.step()
    return model.eval()


ANIMALS = {"hen": "2", "duck": "2", "man": "2", "dog": "4", "cat": "4", "cow": "4", "horse": "4", "ant": "6", "bee": "6", "fly": "- 6"}


@pytest.mark.parametrize("template", ["chat", "alpaca", "vicuna"])
def test_exact_match_is_that_of_real_greedy_generation(adapted, tiny, template):
    turns = [(Turn("user", f"legs of {animal}?"), Turn("assistant", legs)) for animal, legs in ANIMALS.items()]
    shown = [Conversation(pair, Provenance.PUBLIC) for pair in turns]
    rows = tokenise(shown, tiny.tokenizer, template, 400)
    model = learnt(adapted, rows)
    prompts = [render_prompt(record.prompt, tiny.tokenizer, template) for record in shown]
    said = generate(model, tiny.tokenizer, prompts, 12, 4)
    right = [answer == record.response for answer, record in zip(said, shown, strict=True)]
    each = [SFT().evaluate(model, tokenise([record], tiny.tokenizer, template, 400), [0], 4)["exact"] == 1 for record in shown]
    assert each == right
    assert set(right) == {True, False}
    sums = SFT().evaluate(model, rows, range(len(rows)), 2)
    assert (sums["exact"], sums["rows"]) == (sum(right), len(rows))


def test_measured_loss_is_the_sum_over_tokens_whatever_the_batch(adapted, tiny):
    rows = tokenise(examples(), tiny.tokenizer, "chat", 64)
    mean = float(adapted(**batch(rows, range(4))).loss)
    tokens = int(rows.supervised_counts().sum())
    for size in (1, 3, 16):
        sums = SFT().evaluate(adapted, rows, range(4), size)
        assert sums["terms"] == tokens
        assert sums["loss"] / tokens == pytest.approx(mean, abs=1e-5)


class Bigram(nn.Module):
    """The next of three tokens by the one before: after 0 as 4 : 2 : 2, after 1 as 1 : 3 : 4, in eighths."""

    def __init__(self):
        super().__init__()
        self.table = nn.Parameter(torch.tensor([[4.0, 2, 2], [1, 3, 4], [1, 1, 6]]).log())

    def forward(self, input_ids, use_cache):
        return SimpleNamespace(logits=self.table[input_ids.long()])


@pytest.mark.parametrize("size", [1, 2, 3])
def test_held_out_loss_is_a_mean_over_tokens_by_hand(size):
    # 0 -> 0 -> 1: ln 2 + ln 4; 1 -> 0: ln 8; 1 -> 2: ln 2, and 2 is what greedy decoding gives: 7 ln 2 over 4 tokens of 3 rows
    trained = [False, True, True, False, True, False, True]
    rows = TokenRows(torch.tensor([0, 0, 1, 1, 0, 1, 2]).int(), torch.tensor(trained), torch.tensor([0, 3, 5, 7]), 0)
    sums = SFT().evaluate(Bigram(), rows, range(3), size)
    assert sums == {"loss": pytest.approx(7 * math.log(2)), "terms": 4, "exact": 1, "rows": 3}
    values = SFT().values(sums)
    assert values == {
        "exact_match": pytest.approx(1 / 3),
        "loss": pytest.approx(7 / 4 * math.log(2)),
        "perplexity": pytest.approx(2**1.75),
    }


def test_the_loss_of_training_by_hand_of_the_batch_and_of_each_row():
    trained = [False, True, True, False, True, False, True]
    rows = TokenRows(torch.tensor([0, 0, 1, 1, 0, 1, 2]).int(), torch.tensor(trained), torch.tensor([0, 3, 5, 7]), 0)
    (part,) = SFT().losses(Bigram(), rows, range(3))
    assert float(part.loss.detach()) == pytest.approx(7 / 4 * math.log(2))
    assert part.each().tolist() == pytest.approx([3 / 2 * math.log(2), 3 * math.log(2), math.log(2)])
    assert part.tokens == 9  # padding is computed too


def test_any_of_several_right_answers_is_exact_and_the_first_gives_the_loss(adapted, tiny):
    rows = tokenise(examples(), tiny.tokenizer, "chat", 64)
    model = learnt(adapted, rows)
    # rows 3 and 0 are two answers to one question: the model gives row 0's
    pair = TokenRows(*_joined(rows, [3, 0]), truncated=0)
    sums = SFT().evaluate(model, pair, [5, 5], 4)
    alone = SFT().evaluate(model, TokenRows(*_joined(rows, [3]), truncated=0), [0], 4)
    assert (sums["exact"], sums["rows"]) == (1, 1)
    assert (sums["loss"], sums["terms"]) == (pytest.approx(alone["loss"], abs=1e-4), alone["terms"])


def _joined(rows, indices):
    pairs = [rows.row(index) for index in indices]
    lengths = torch.tensor([0] + [len(ids) for ids, _ in pairs])
    return torch.cat([ids for ids, _ in pairs]).int(), torch.cat([mask for _, mask in pairs]), lengths.cumsum(0)


def test_rows_are_kept_under_a_hash_of_what_decides_them(tiny, tmp_path):
    def path(pairs=None, template="chat", max_length=64):
        return SFT().encode(examples(pairs), TextEncoder(tiny.tokenizer, template, max_length), tmp_path)

    first = path()
    assert path() == first
    others = {path({"hi": "hot"}), path(template="alpaca"), path(max_length=63)}
    assert len(others | {first}) == 4
    loaded, made = SFT().load(first), tokenise(examples(), tiny.tokenizer, "chat", 64)
    assert torch.equal(loaded.ids, made.ids)
    assert torch.equal(loaded.supervised, made.supervised)
    assert torch.equal(loaded.starts, made.starts)
