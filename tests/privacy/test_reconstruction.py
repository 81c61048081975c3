"""Masked names: which rows are asked for, and whether a continuation that begins with the name counts."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from fedloom.data.records import Conversation, Provenance, Turn
from fedloom.privacy import reconstruction
from fedloom.privacy.reconstruction import masked, share_said


def row(question, answer):
    return Conversation((Turn("user", question), Turn("assistant", answer)), Provenance.PRIVATE)


def spans(text, *names):
    return [SimpleNamespace(start=text.index(name), end=text.index(name) + len(name)) for name in names]


def test_a_name_is_asked_for_where_nothing_before_it_brings_it_up():
    answer = "Dr. Ada Moreno saw him, then Bo Lind did."
    (one,) = masked([row("Who saw him?", answer)], [spans(answer, "Bo Lind", "Ada Moreno")])
    assert (one.before, one.name) == ("Dr. ", "Ada Moreno")
    assert [turn.content for turn in one.asked] == ["Who saw him?"]
    assert "Moreno" not in repr(one)


def test_a_name_that_stands_before_in_part_or_whole_is_passed_over():
    answer = "Dr. Ada Moreno saw him, then Bo Lind did."
    (one,) = masked([row("Did Mrs. MORENO see him?", answer)], [spans(answer, "Ada Moreno", "Bo Lind")])
    assert one.name == "Bo Lind"
    assert masked([row("Did Moreno or Lind see him?", answer)], [spans(answer, "Ada Moreno", "Bo Lind")]) == []
    assert masked([row("Who?", "Nobody.")], [[]]) == []


@pytest.mark.parametrize(("template", "before"), [("chat", "assistant\nDr."), ("alpaca", "### Response: Dr.")])
def test_a_continuation_that_begins_with_the_name_counts(template, before, monkeypatch):
    asked = []

    def generate(model, tokenizer, texts, most, batch_size):
        asked.extend(texts)
        return [" ada moreno saw him.", "Bo Lindgren", "A. Moreno", ""]

    monkeypatch.setattr(reconstruction, "generate", generate)
    answer = "Dr. Ada Moreno saw him."
    names = masked([row("Who?", answer)] * 4, [spans(answer, "Ada Moreno")] * 4)
    tokenizer = SimpleNamespace(
        chat_template="x",
        bos_token="<s>",
        eos_token="</s>",
        apply_chat_template=lambda messages, tokenize, add_generation_prompt: f"user\n{messages[0]['content']}\nassistant\n",
    )
    encoder = SimpleNamespace(tokenizer=tokenizer, template=template)
    assert share_said(names, None, encoder, 8) == 0.25
    assert all(text.endswith(before) for text in asked)
    assert asked[0].startswith("<s>") is (template == "alpaca")
