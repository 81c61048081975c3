"""Prompts of a domain: what models are asked, how their replies are read, and whose text may stand in them."""

from pathlib import Path

import pytest

from fedloom.data.records import Conversation, Provenance, Turn
from fedloom.errors import RecipeError
from fedloom.synthesis.domain import instruction_of, load_domain, read_new_instruction, says_yes
from fedloom.synthesis.generator import Reply

DOCS = Path(__file__).parents[2] / "docs" / "systems"
EXAMPLES = [
    Conversation((Turn("user", f"What helps with {what}?"), Turn("assistant", f"Rest helps with {what}.")), Provenance.PUBLIC)
    for what in ("a cough", "a cold")
]
MADE_UP = instruction_of("What helps with a fever?", Provenance.DP_RELEASED)


def reply(text, ended=True):
    return Reply(text, 5, 9, ended)


@pytest.mark.parametrize("name", ["general", "medicine", "finance"])
def test_every_domain_asks_for_pairs_instructions_answers_and_membership(name):
    domain = load_domain(name)
    assert domain.file.name == name
    assert len(domain.sha256) == 64
    for prompt, example in ((domain.new_pair(EXAMPLES), "Rest helps with a cold."), (domain.new_instruction(EXAMPLES), "a cold?")):
        assert [turn.role for turn in prompt.turns] == ["system", "user", "assistant", "user", "assistant", "user"]
        assert prompt.turns[4].content.endswith(example)
        assert prompt.begun == "Question:"
    assert "What helps with a fever?" in domain.for_expert(MADE_UP).turns[-1].content
    assert "yes or no" in domain.belongs(MADE_UP).turns[-1].content
    assert domain.answer(MADE_UP, EXAMPLES).turns[-1].content == "What helps with a fever?"


def test_a_prompt_is_as_private_as_the_strictest_text_in_it():
    domain = load_domain("general")
    assert domain.new_pair(EXAMPLES).provenance is Provenance.PUBLIC
    assert domain.answer(MADE_UP, EXAMPLES).provenance is Provenance.DP_RELEASED
    assert domain.for_expert(instruction_of("Who was it?", Provenance.PRIVATE)).provenance is Provenance.PRIVATE


@pytest.mark.parametrize(
    ("text", "ended", "read"),
    [
        ("Question: What is it?", True, "What is it?"),
        ("Question:  What \t is it? \nAnswer: a thing", True, "What is it?"),
        ("Question: What is it? \nand", False, "What is it?"),
        ("Question: What is", False, None),
        ("Question:", True, None),
        ("What is it?", True, None),
        ("Question: What? Answer: This.", True, None),
        ("Question: What? Question: Who?", True, None),
    ],
)
def test_an_instruction_is_the_first_line_of_a_whole_reply(text, ended, read):
    assert read_new_instruction(reply(text, ended)) == read


@pytest.mark.parametrize(
    ("text", "said"),
    [("Yes.", True), ("**yes**, it is", True), (" No", False), ("no, because", False), ("Nothing", None), ("It is", None), ("", None)],
)
def test_yes_and_no_are_whole_words_at_the_beginning(text, said):
    assert says_yes(reply(text)) is said


def test_the_domain_of_the_documentation_is_one(tmp_path):
    text = (DOCS / "knowledgesg.md").read_text().partition("<!-- domain -->\n```yaml\n")[2].partition("```")[0]
    (tmp_path / "law.yaml").write_text(text)
    assert load_domain(str(tmp_path / "law.yaml")).for_expert(MADE_UP).turns[-1].content == "What helps with a fever?"


def test_a_file_without_the_place_of_the_instruction_is_refused(tmp_path):
    path = tmp_path / "own.yaml"
    path.write_text("name: own\nversion: 1\nask: a\npair: b\ninstruction: c\nanswer: d\nexpert: no place\nbelongs: '{instruction}'\n")
    with pytest.raises(RecipeError, match=r"own\.yaml: expert: .*should hold \{instruction\}"):
        load_domain(str(path))
    with pytest.raises(RecipeError, match=r"finish: knowledgesg: domain: there is no packaged prompt and no file 'medcine'.*medicine"):
        load_domain("medcine")
