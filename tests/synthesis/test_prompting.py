"""Prompts: what a writer is shown, how strictly its reply is read, and what is said of a prompt file that is wrong."""

from pathlib import Path

import pytest

from fedloom.data.records import Conversation, Document, Provenance, Turn
from fedloom.errors import RecipeError
from fedloom.synthesis.generator import Reply
from fedloom.synthesis.prompting import first_words, load_prompt

PIECE = Document("Copper is a soft metal.", Provenance.PRIVATE)
EXAMPLE = Conversation(
    (Turn("user", "What is tin?"), Turn("assistant", "Tin is a metal.")), Provenance.PUBLIC, {"document": " ".join(["tin"] * 70)}
)


def reply(text, ended=True):
    return Reply(text, 10, 20, ended)


def test_examples_are_earlier_turns_and_the_piece_stands_last():
    prompt = load_prompt("pairs").prompt(PIECE, [EXAMPLE])
    assert [turn.role for turn in prompt.turns] == ["system", "user", "assistant", "user"]
    assert prompt.turns[1].content == "Text:\n" + " ".join(["tin"] * 60) + "..."
    assert prompt.turns[2].content == "Question: What is tin?\nAnswer: Tin is a metal."
    assert prompt.turns[3].content == "Text:\nCopper is a soft metal."
    assert prompt.begun == "Question:"


def test_a_prompt_is_as_private_as_the_most_private_text_in_it():
    assert load_prompt("pairs").prompt(PIECE, [EXAMPLE]).provenance is Provenance.PRIVATE
    public = Document("Copper.", Provenance.PUBLIC)
    assert load_prompt("pairs").prompt(public, [EXAMPLE]).provenance is Provenance.PUBLIC


def test_no_text_of_a_prompt_shows_in_its_representation():
    assert "Copper" not in repr(load_prompt("pairs").prompt(PIECE, [EXAMPLE]))


def test_a_system_turn_can_stand_before_the_first_question():
    prompt = load_prompt("pairs").prompt(PIECE, [])
    assert [turn.role for turn in prompt.merged.turns] == ["user"]
    assert prompt.merged.turns[0].content == f"{prompt.turns[0].content}\n\n{prompt.turns[1].content}"


@pytest.mark.parametrize(
    ("text", "ended", "read"),
    [
        ("Question: What is copper?\nAnswer: A soft metal.", True, ("What is copper?", "A soft metal.")),
        ("Question:  What is   copper?\n\n Answer: A soft  metal.\n", True, ("What is copper?", "A soft metal.")),
        ("Question: What is copper?\nAnswer: A metal. It is so", False, ("What is copper?", "A metal.")),
        ("Question: What is copper?\nAnswer: A metal that", False, "cut_short"),
        ("Question: What is copper?", True, "unparsed"),
        ("Question: What is copper?\nAnswer:", True, "unparsed"),
        ("Question:\nAnswer: A metal.", True, "unparsed"),
        ("Sure! Question: What is copper?\nAnswer: A metal.", True, "unparsed"),
        ("Question: a?\nAnswer: b.\nQuestion: c?\nAnswer: d.", True, "unparsed"),
        ("Question: What is copper?\nAnswer: A metal.\nNote: written by me", True, "unparsed"),
        (
            "Question: Who?\nAnswer: It was Dr. Ng of the U.S. He is approx. 50. And then",
            False,
            ("Who?", "It was Dr. Ng of the U.S. He is approx. 50."),
        ),
        ("Question: Who?\nAnswer: It was Dr. Ng", False, "cut_short"),
        ("Question: 铜是什么？\nAnswer: 铜是金属。它", False, ("铜是什么？", "铜是金属。")),
        ("Question: What? Answer: A metal.", True, "unparsed"),
        ("", True, "unparsed"),
    ],
)
def test_a_reply_is_read_strictly(text, ended, read):
    assert load_prompt("pairs").read(reply(text, ended)) == read


def test_first_words_says_that_more_follow():
    assert first_words("a b c", 2) == "a b..."
    assert first_words("a b", 2) == "a b"


def test_a_prompt_of_ones_own_is_read_in_its_own_form(tmp_path):
    path = tmp_path / "mine.yaml"
    path.write_text('name: mine\nversion: 2\nsystem: Ask.\npiece: "<{text}>"\nreply: "Q> {question}\\nA> {answer}"\n')
    prompt = load_prompt(str(path))
    assert prompt.prompt(PIECE, [EXAMPLE]).turns[2].content == "Q> What is tin?\nA> Tin is a metal."
    assert prompt.read(reply("Q> why?\nA> so.")) == ("why?", "so.")
    before = prompt.sha256
    path.write_text(path.read_text() + "begun: 'Q>'\n")
    assert load_prompt(str(path)).sha256 != before


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        ("name: [", "is not valid YAML"),
        ('name: a\nversion: 1\nsystem: s\npiece: "x"\nreply: "{question}{answer}"', "piece: .*should hold {text}"),
        ('name: a\nversion: 1\nsystem: s\npiece: "{text}"\nreply: "{answer}"', "reply: .*should hold {question} on its first line"),
        (
            'name: a\nversion: 1\nsystem: s\npiece: "{text}"\nreply: "Q: {question} A: {answer}"',
            "reply: .*should hold {question} on its first line",
        ),
        (
            'name: a\nversion: 1\nsystem: s\npiece: "{text}"\nreply: "{question}\\n{answer} end"',
            "reply: .*and {answer} at the end of its second",
        ),
        (
            'name: a\nversion: 1\nsystem: s\nbegun: x\npiece: "{text}"\nreply: "{question}\\n{answer}"',
            "begun: should be what reply begins with",
        ),
        ('name: a\nversion: 1\nsystem: s\npiece: "{text}"\nreply: "{question}\\n{answer}"\nmore: 1', "more"),
    ],
)
def test_a_wrong_prompt_file_is_one_line_with_its_key(tmp_path, content, problem):
    path = tmp_path / "p.yaml"
    path.write_text(content)
    with pytest.raises(RecipeError, match=rf"p\.yaml: .*{problem}|p\.yaml: {problem}"):
        load_prompt(str(path))


def test_the_prompt_of_the_documentation_is_one(tmp_path):
    text = (Path(__file__).parents[2] / "docs" / "systems" / "u2s.md").read_text().partition("<!-- prompt -->\n```yaml\n")[2]
    (tmp_path / "notes.yaml").write_text(text.partition("```")[0])
    prompt = load_prompt(str(tmp_path / "notes.yaml"))
    assert prompt.prompt(Document("She slept well.", Provenance.PRIVATE), []).turns[-1].content == "Note:\nShe slept well."
    assert prompt.read(Reply("Question: How did she sleep?\nAnswer: Well.", 9, 9, True)) == ("How did she sleep?", "Well.")


def test_an_unknown_prompt_names_the_nearest():
    with pytest.raises(RecipeError, match="no packaged prompt and no file 'pair'; did you mean 'pairs'"):
        load_prompt("pair")
