"""The plain templates as Jinja: other programs write and ask the text that was trained on, token for token."""

import pytest
from tokenizer_kinds import TOKENIZERS

from fedloom.data.prefixes import lead, prompt_ids
from fedloom.data.records import Turn
from fedloom.data.templates import render, render_prompt
from fedloom.models.chat_templates import chat_tokenizer, save_beside
from fedloom.models.encoders import TextEncoder

TALKS = {
    "one question": [("user", "color of sky?"), ("assistant", "blue")],
    "system turn": [("system", "Be short."), ("user", "color of sky?"), ("assistant", "blue")],
    "two questions": [("user", "color {of} sky?"), ("assistant", "'blue'"), ("user", "and of grass?\n"), ("assistant", "green")],
    "begins with an answer": [("assistant", "Hello."), ("user", "hot?"), ("assistant", "cold")],
}


SEES_THE_WHOLE_TEXT = ("with_first_and_last_token",)
"""Kinds that write a word behind a mark in the text otherwise than a word at the beginning of the text."""


@pytest.mark.parametrize("tokenizer", TOKENIZERS.values(), ids=TOKENIZERS)
@pytest.mark.parametrize("template", ["alpaca", "vicuna"])
@pytest.mark.parametrize("talk", TALKS.values(), ids=TALKS)
def test_a_chat_template_writes_what_was_trained_on(tokenizer, template, talk):
    turns, messages = [Turn(*said) for said in talk], [{"role": role, "content": content} for role, content in talk]
    other = chat_tokenizer(TextEncoder(tokenizer, template, 512))
    first = "".join(tokenizer.convert_ids_to_tokens(lead(tokenizer)))
    assert other.apply_chat_template(messages, tokenize=False) == first + render(turns, tokenizer, template).text
    asked = render_prompt(turns[:-1], tokenizer, template)
    assert other.apply_chat_template(messages[:-1], tokenize=False, add_generation_prompt=True) == first + asked.text
    assert tokenizer.chat_template != other.chat_template


@pytest.mark.parametrize("name", [name for name in TOKENIZERS if name not in SEES_THE_WHOLE_TEXT])
def test_other_programs_ask_with_the_tokens_that_were_trained_behind(name):
    tokenizer = TOKENIZERS[name]
    other = chat_tokenizer(TextEncoder(tokenizer, "vicuna", 512))
    asked = prompt_ids(render_prompt([Turn("user", "color of sky?")], tokenizer, "vicuna"), tokenizer)
    messages = [{"role": "user", "content": "color of sky?"}]
    assert list(other.apply_chat_template(messages, add_generation_prompt=True, return_dict=False)) == asked


def test_a_tokenizer_with_more_tokens_than_the_model_knows_is_not_put_beside_an_adapter(tmp_path):
    tokenizer = TOKENIZERS["tiny"]
    for more, written in ((0, True), (1, False)):
        save_beside(TextEncoder(tokenizer, "chat", 512, vocabulary=len(tokenizer) - more), tmp_path / str(more))
        assert (tmp_path / str(more) / "tokenizer_config.json").exists() == written


def test_the_tokenizers_own_template_stays():
    tokenizer = TOKENIZERS["tiny"]
    assert chat_tokenizer(TextEncoder(tokenizer, "chat", 512)) is tokenizer
