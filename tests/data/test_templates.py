"""Templates: the exact texts, which characters are responses, and prompts that never drift from what is trained on."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fedloom.data.records import Turn
from fedloom.data.templates import ALPACA_PREAMBLE, VICUNA_PREAMBLE, render, render_prompt
from fedloom.errors import DataError
from fedloom.models.tiny import CHAT_TEMPLATE, _tokenizer

TOKENIZER = _tokenizer()
ONE = (Turn("user", "Name a color."), Turn("assistant", "Red"))
TWO = (*ONE, Turn("user", "Another?"), Turn("assistant", "Blue"))
SYSTEM = Turn("system", "Be brief.")


def said(rendered):
    return [rendered.text[start:end] for start, end in rendered.responses]


def test_alpaca_is_as_published_with_its_space_after_the_instruction():
    assert ALPACA_PREAMBLE == ("Below is an instruction that describes a task. Write a response that appropriately completes the request.")
    rendered = render(ONE, TOKENIZER, "alpaca")
    assert rendered.text == f"{ALPACA_PREAMBLE}\n\n### Instruction:\nName a color. \n\n### Response: Red<|im_end|>"
    assert said(rendered) == [" Red<|im_end|>"]
    assert rendered.adds_special_tokens


def test_vicuna_is_as_published():
    rendered = render(TWO, TOKENIZER, "vicuna")
    assert VICUNA_PREAMBLE.startswith("A chat between a curious user and an artificial intelligence assistant. The assistant gives helpful")
    assert rendered.text == f"{VICUNA_PREAMBLE} USER: Name a color. ASSISTANT: Red<|im_end|>USER: Another? ASSISTANT: Blue<|im_end|>"
    assert said(rendered) == [" Red<|im_end|>", " Blue<|im_end|>"]


def test_the_chat_template_is_the_tokenizers_own():
    rendered = render((SYSTEM, *TWO), TOKENIZER, "chat")
    assert rendered.text == (
        "<|im_start|>system\nBe brief.<|im_end|>\n"
        "<|im_start|>user\nName a color.<|im_end|>\n<|im_start|>assistant\nRed<|im_end|>\n"
        "<|im_start|>user\nAnother?<|im_end|>\n<|im_start|>assistant\nBlue<|im_end|>\n"
    )
    assert said(rendered) == ["Red<|im_end|>", "Blue<|im_end|>"]
    assert not rendered.adds_special_tokens


@pytest.mark.parametrize("template", ["alpaca", "vicuna"])
def test_a_system_turn_takes_the_place_of_the_preamble(template):
    text = render((SYSTEM, *ONE), TOKENIZER, template).text
    assert text.startswith("Be brief.")
    assert "Below is" not in text
    assert "A chat between" not in text


def test_a_tokenizer_without_an_end_mark_has_responses_without_one():
    class Plain:
        eos_token = None

    assert said(render(ONE, Plain(), "alpaca")) == [" Red"]


words = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
conversations = st.lists(st.tuples(words, words), min_size=1, max_size=3)


@pytest.mark.parametrize("template", ["chat", "alpaca", "vicuna"])
@settings(deadline=None, max_examples=60)
@given(conversations)
def test_an_answer_is_asked_for_by_the_text_that_was_trained_on(template, pairs):
    turns = [turn for ask, answer in pairs for turn in (Turn("user", ask), Turn("assistant", answer))]
    rendered = render(turns, TOKENIZER, template)
    prompt = render_prompt(turns[:-1], TOKENIZER, template)
    assert prompt.adds_special_tokens == rendered.adds_special_tokens
    start = rendered.responses[-1][0]
    assert prompt.text == rendered.text[:start]
    assert prompt.responses == rendered.responses[:-1]
    space = "" if template == "chat" else " "  # a tokenizer would put it in front of the answer's first word
    assert all(text.startswith(space + answer) or not answer.strip() for text, (_, answer) in zip(said(rendered), pairs, strict=True))


@pytest.mark.parametrize("template", ["alpaca", "vicuna"])
def test_the_turns_before_a_question_end_as_they_did_in_training(template):
    assert "Red<|im_end|>" in render_prompt(TWO[:-1], TOKENIZER, template).text


def test_a_chat_template_that_is_missing_is_answered_with_the_others():
    bare = _tokenizer()
    bare.chat_template = None
    for turns in (render, render_prompt):
        with pytest.raises(DataError, match=r"data.template: chat needs a tokenizer with a chat template.*use alpaca or vicuna"):
            turns(ONE, bare, "chat")


def test_a_chat_template_that_rewrites_earlier_turns_is_refused():
    rewriting = _tokenizer()
    rewriting.chat_template = (
        "{% for m in messages %}[{{ m['role'] }}]{% if m['role'] != 'assistant' or loop.last %}{{ m['content'] }}{% endif %};{% endfor %}"
        "{% if add_generation_prompt %}[assistant]{% endif %}"
    )
    assert said(render(ONE, rewriting, "chat")) == ["Red;"]
    with pytest.raises(DataError, match="rewrites earlier turns, so responses cannot be told from prompts; use template: alpaca or vicuna"):
        render(TWO, rewriting, "chat")


REFUSES_SYSTEM = "{% if messages[0]['role'] == 'system' %}{{ raise_exception('System role not supported') }}{% endif %}" + CHAT_TEMPLATE


def test_a_template_that_refuses_a_conversation_is_an_error_with_its_reason_and_no_text():
    tokenizer = _tokenizer()
    tokenizer.chat_template = REFUSES_SYSTEM
    turns = [Turn("system", "SECRET"), Turn("user", "hi"), Turn("assistant", "yes")]
    with pytest.raises(
        DataError, match=r"^data.template: .* refuses a conversation of system, user, assistant \(TemplateError: System role"
    ) as caught:
        render(turns, tokenizer, "chat")
    assert "SECRET" not in str(caught.value)
    tokenizer.chat_template = "{{ raise_exception(messages[0]['content']) }}"
    with pytest.raises(DataError, match=r"\(TemplateError\); use template: alpaca") as caught:
        render(turns, tokenizer, "chat")
    assert "SECRET" not in str(caught.value)


@pytest.mark.parametrize("opening", ["", "<|im_start|>system\nBe kind.<|im_end|>\n"])
def test_a_conversation_that_begins_with_an_answer_trains_it_where_the_template_renders_it(opening):
    tokenizer = _tokenizer()
    tokenizer.chat_template = f"{{{{ {opening!r} }}}}" + CHAT_TEMPLATE
    turns = [Turn("assistant", "Hello."), Turn("user", "hot?"), Turn("assistant", "cold")]
    rendered = render(turns, tokenizer, "chat")
    assert [rendered.text[start:end] for start, end in rendered.responses] == ["Hello.<|im_end|>", "cold<|im_end|>"]
    assert rendered.text.startswith(f"{opening}<|im_start|>assistant\nHello.")


@pytest.mark.parametrize("template", ["alpaca", "vicuna"])
def test_the_plain_templates_refuse_a_system_turn_that_is_not_the_first(template):
    for turns in ((*ONE, SYSTEM, *ONE), (SYSTEM, SYSTEM, *ONE)):
        with pytest.raises(DataError, match=f"^data.template: {template} has one system turn, the first"):
            render(turns, TOKENIZER, template)
