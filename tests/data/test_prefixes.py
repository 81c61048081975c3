"""What asks for a response is what training has before it, token for token, with any tokenizer and template."""

import copy

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from tokenizer_kinds import TOKENIZERS

from fedloom.data.answers import answered, tokenise_answers
from fedloom.data.prefixes import encode, prompt_ids
from fedloom.data.records import Conversation, Provenance, Turn
from fedloom.data.templates import Rendered, render_prompt
from fedloom.data.tokenise import tokenise

SPACE_AFTER = (
    "{{ bos_token }}{% for m in messages %}{% if m['role'] == 'user' %}[INST] {{ m['content'] }} [/INST] "
    "{% elif m['role'] == 'assistant' %}{{ m['content'] }}{{ eos_token }}{% else %}{{ m['content'] }}\n{% endif %}{% endfor %}"
)
"""A chat template whose generation prompt ends in a space."""

JOINED = (
    "{% for m in messages %}{{ m['role'] }}:{{ m['content'] }}{% if m['role'] == 'assistant' %}{{ eos_token }}{% endif %}{% endfor %}"
    "{% if add_generation_prompt %}assistant:{% endif %}"
)
"""One without any mark between a prompt and its response."""

TEMPLATES = {"alpaca": None, "vicuna": None, "chat": None, "space": SPACE_AFTER, "joined": JOINED}


def prepared(name, template):
    """(tokenizer, name of the template)"""
    tokenizer = TOKENIZERS[name]
    if TEMPLATES[template] is None:
        return tokenizer, template
    tokenizer = copy.deepcopy(tokenizer)
    tokenizer.chat_template = TEMPLATES[template]
    return tokenizer, "chat"


answers = st.one_of(
    st.text(st.characters(codec="utf-8", exclude_characters="<|>"), max_size=12),
    st.sampled_from(["2", " 2", "\n- red", "the sky", "蓝色", "  ", "", ":)", "assistant", "é", "red blue", "1. a\n2. b"]),
)


@pytest.mark.parametrize("template", TEMPLATES)
@pytest.mark.parametrize("name", TOKENIZERS)
@settings(deadline=None, max_examples=25)
@given(st.lists(st.tuples(answers, answers), min_size=1, max_size=3))
@example([("legs of hen?", "2"), ("a list", "- red\n- blue"), ("sky", "蓝色")])
def test_every_prompt_is_the_beginning_of_the_row_and_its_response_is_what_is_trained(name, template, pairs):
    tokenizer, template = prepared(name, template)
    turns = [turn for ask, answer in pairs for turn in (Turn("user", ask), Turn("assistant", answer))]
    ids, mask = (found.tolist() for found in tokenise([Conversation(tuple(turns), Provenance.PUBLIC)], tokenizer, template, 10_000).row(0))
    for place in range(1, len(turns), 2):
        asked = prompt_ids(render_prompt(turns[:place], tokenizer, template), tokenizer)
        assert ids[: len(asked)] == asked
        assert mask[len(asked)] or not turns[place].content  # the first token that is generated is the first one that is trained
        assert not mask[len(asked) - 1] or place > 1


@pytest.mark.parametrize("template", TEMPLATES)
@pytest.mark.parametrize("name", TOKENIZERS)
def test_the_answers_that_a_task_compares_stand_behind_the_same_prompt(name, template):
    tokenizer, template = prepared(name, template)
    record = Conversation((Turn("system", "Be brief."), Turn("user", "legs of hen?"), Turn("assistant", "x")), Provenance.PUBLIC)
    rows = tokenise_answers([answered(record, "2", "the sky", "\n-")], [0], tokenizer, template, 1000, 900)
    asked = prompt_ids(render_prompt(record.prompt, tokenizer, template), tokenizer)
    for answer in range(3):
        ids, mask = rows.tokens.row(answer)
        assert ids[: len(asked)].tolist() == asked
        assert mask.tolist() == [False] * len(asked) + [True] * (len(ids) - len(asked))


@pytest.mark.parametrize("template", ["alpaca", "vicuna"])
@pytest.mark.parametrize("name", ["tiny", "byte_level", "across_words"])
def test_the_space_before_a_plain_answer_is_trained_where_it_is_a_token_of_its_own(name, template):
    tokenizer = TOKENIZERS[name]
    record = Conversation((Turn("user", "legs of hen?"), Turn("assistant", "2")), Provenance.PUBLIC)
    ids, mask = tokenise([record], tokenizer, template, 1000).row(0)
    assert tokenizer.decode(ids[mask]) == f" 2{tokenizer.eos_token}"
    assert not render_prompt(record.prompt, tokenizer, template).text.endswith(" ")


def test_what_a_tokenizer_puts_behind_a_text_stands_neither_in_a_prompt_nor_in_a_row():
    tokenizer = TOKENIZERS["with_first_and_last_token"]
    assert tokenizer("a")["input_ids"][-1] == tokenizer.eos_token_id
    record = Conversation((Turn("user", "a"), Turn("assistant", "b")), Provenance.PUBLIC)
    ids, mask = tokenise([record], tokenizer, "alpaca", 1000).row(0)
    assert (ids[0], ids.tolist().count(tokenizer.eos_token_id)) == (tokenizer.bos_token_id, 1)
    assert mask[-1]
    asked = prompt_ids(render_prompt(record.prompt, tokenizer, "alpaca"), tokenizer)
    assert asked[0] == tokenizer.bos_token_id
    assert tokenizer.eos_token_id not in asked


def test_a_token_over_the_place_where_a_response_begins_is_cut_there():
    tokenizer = TOKENIZERS["across_words"]
    whole = tokenizer("Response: 2")["input_ids"]
    cut = len("Response:")
    assert tokenizer("Response:")["input_ids"] != whole[: len(tokenizer("Response:")["input_ids"])]
    (encoded,) = encode([Rendered("Response: 2", ((cut, cut + 2),), adds_special_tokens=False)], tokenizer)
    assert tokenizer.decode(encoded.ids) == "Response: 2"
    assert encoded.ids[: encoded.responses[0]] == tokenizer("Response:")["input_ids"]
    assert encoded.begins[encoded.responses[0]] == cut
