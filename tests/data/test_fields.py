"""Columns become conversations: the known layouts, `data.fields`, and what a row that does not fit is called."""

import pytest

from fedloom.data.fields import read_conversations
from fedloom.data.records import Provenance, Turn
from fedloom.data.rows import Row
from fedloom.errors import DataError, RecipeError
from fedloom.recipe import FieldsRecipe


def read(*rows, **fields):
    numbered = [Row(columns, f"train.jsonl:{number}") for number, columns in enumerate(rows, start=1)]
    return read_conversations(numbered, FieldsRecipe(**fields), Provenance.PRIVATE)


def said(example):
    return [(turn.role, turn.content) for turn in example.turns]


def test_alpaca_joins_the_input_to_the_instruction_with_one_space():
    first, second = read(
        {"instruction": "Add.", "input": "1 and 2", "output": "3", "text": "all"}, {"instruction": "Greet.", "input": "", "output": "Hi"}
    )
    assert said(first) == [("user", "Add. 1 and 2"), ("assistant", "3")]
    assert said(second) == [("user", "Greet."), ("assistant", "Hi")]
    assert first.fields == {"text": "all"}


def test_medalpaca_with_input_and_output_is_recognised():
    assert said(read({"input": "What is flu?", "output": "An infection."})[0]) == [("user", "What is flu?"), ("assistant", "An infection.")]


def test_gsm8k_with_question_and_answer_is_recognised():
    assert said(read({"question": "2+2?", "answer": "#### 4"})[0]) == [("user", "2+2?"), ("assistant", "#### 4")]


@pytest.mark.parametrize(
    ("prompt", "answer"), [("prompt", "response"), ("prompt", "completion"), ("instruction", "response"), ("problem", "solution")]
)
def test_other_known_pairs_are_recognised(prompt, answer):
    assert said(read({prompt: "a", answer: "b"})[0]) == [("user", "a"), ("assistant", "b")]


def test_sharegpt_roles_become_ours_and_a_trailing_question_is_dropped():
    turns = [{"from": "human", "value": "a"}, {"from": "gpt", "value": "b"}, {"from": "human", "value": "c"}]
    example = read({"id": "x1", "conversations": turns})[0]
    assert said(example) == [("user", "a"), ("assistant", "b")]
    assert example.fields == {"id": "x1"}


def test_openai_messages_keep_every_turn():
    turns = [{"role": role, "content": role[0]} for role in ("system", "user", "assistant", "user", "assistant")]
    example = read({"messages": turns, "alternatives": ["b", "c"], "owner": "clinic", "rank": 3, "tags": ["x"], "none": None})[0]
    assert said(example) == [(turn["role"], turn["content"]) for turn in turns]
    assert example.prompt[-1] == Turn("user", "u")
    assert example.alternatives == ("b", "c")
    assert example.fields == {"owner": "clinic", "rank": "3", "tags": '["x"]'}


def test_a_system_column_opens_the_conversation():
    assert said(read({"system": "Be brief.", "question": "a", "answer": "b"})[0])[0] == ("system", "Be brief.")
    assert said(read({"system": "", "question": "a", "answer": "b"})[0])[0] == ("user", "a")


def test_named_columns_win_over_the_known_layouts():
    row = {"question": "a", "answer": "b", "summary": "s", "context": "c"}
    example = read(row, instruction="question", response="summary", input="context")[0]
    assert said(example) == [("user", "a c"), ("assistant", "s")]
    assert example.fields == {"answer": "b"}


def test_unknown_columns_are_listed_with_the_keys_to_set():
    with pytest.raises(DataError, match=r"columns frage, antwort; set data\.fields\.instruction"):
        read({"frage": "a", "antwort": "b"})


def test_a_missing_column_is_named_with_its_row_and_the_nearest_one():
    with pytest.raises(
        DataError, match=r"train\.jsonl:1: has no column 'quesion' \(data\.fields\.instruction\); did you mean 'question'\?"
    ):
        read({"question": "a", "reply": "b"}, instruction="quesion", response="reply")
    with pytest.raises(DataError, match=r"train\.jsonl:2: has no column 'answer'"):
        read({"question": "a", "answer": "b"}, {"question": "a"})
    with pytest.raises(DataError, match=r"data\.fields\.input: no row has a column 'contxt'; did you mean 'context'\?"):
        read({"question": "a", "answer": "b", "context": ""}, input="contxt")


@pytest.mark.parametrize(("answer", "problem"), [("  ", "is empty"), (None, "not null"), (["secret"], "not a list"), (7, "not a number")])
def test_an_answer_that_is_empty_or_not_text_is_named_with_its_line(answer, problem):
    with pytest.raises(DataError, match=rf"train\.jsonl:2: column 'answer' \(response\).*{problem}") as caught:
        read({"question": "a", "answer": "b"}, {"question": "secret", "answer": answer})
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize(
    ("turns", "problem"),
    [
        ("secret", "should be a list of turns"),
        ([{"role": "tool", "content": "secret"}], "turn 1 should have a role out of"),
        ([{"role": "user", "content": ["secret"]}], "turn 1 should hold text"),
        ([{"role": "user", "content": "secret"}, {"role": "assistant", "content": ""}], "turn 2 should hold text"),
        ([{"role": "user", "content": "secret"}], "an assistant turn that answers it"),
        ([{"role": "assistant", "content": "secret"}], "should hold a user turn"),
        (["secret"], "turn 1 should have a role"),
    ],
)
def test_a_conversation_that_does_not_fit_is_named_without_its_text(turns, problem):
    with pytest.raises(DataError, match=rf"train\.jsonl:1: .*{problem}") as caught:
        read({"messages": turns})
    assert "secret" not in str(caught.value)


def test_half_a_mapping_is_refused():
    with pytest.raises(RecipeError, match=r"data\.fields\.response: set it too"):
        read({"question": "a", "answer": "b"}, instruction="question")
    with pytest.raises(RecipeError, match=r"data\.fields: messages excludes"):
        read({"messages": []}, messages="messages", input="input")


def test_alternatives_should_be_a_list_of_texts():
    with pytest.raises(DataError, match="column 'alternatives'"):
        read({"question": "a", "answer": "b", "alternatives": "c"})


def test_dollys_context_and_earlier_turns_of_alpaca_are_read():
    (dolly,) = read({"instruction": "Who has the key?", "context": "The porter has it.", "response": "The porter.", "category": "qa"})
    assert said(dolly) == [("user", "Who has the key? The porter has it."), ("assistant", "The porter.")]
    pairs = [["When does it open?", "At seven."], ["And on Sundays?", "At ten."]]
    row = {"instruction": "In winter?", "input": "", "output": "At nine.", "system": "Be short."}
    wanted = [
        ("system", "Be short."),
        *zip(("user", "assistant") * 2, ("When does it open?", "At seven.", "And on Sundays?", "At ten."), strict=True),
        ("user", "In winter?"),
        ("assistant", "At nine."),
    ]
    turns = [{"role": role, "content": text} for role, text in wanted[1:5]]
    for history in (pairs, turns):
        assert said(read(row | {"history": history})[0]) == wanted
    assert [len(one.turns) for one in read(row | {"history": pairs}, row | {"history": []}, row | {"history": None})] == [7, 3, 3]


def test_a_column_of_the_users_own_can_hold_earlier_turns_and_a_prompt_can_have_both_beside_it():
    (example,) = read({"q": "b?", "a": "B", "before": [["a?", "A"]]}, instruction="q", response="a", history="before")
    assert said(example) == [("user", "a?"), ("assistant", "A"), ("user", "b?"), ("assistant", "B")]
    (pair,) = read({"instruction": "b?", "input": "now", "chosen": "B", "rejected": "C", "history": [["a?", "A"]], "system": "s"})
    assert said(pair) == [("system", "s"), ("user", "a?"), ("assistant", "A"), ("user", "b? now"), ("assistant", "B")]


@pytest.mark.parametrize("history", ["a? A", [["a?"]], [["a?", 3]], [["a?", " "]], [{"role": "user", "content": "a?"}]])
def test_a_history_of_another_kind_names_row_and_column(history):
    with pytest.raises(DataError, match=r"^train.jsonl:1: column 'before' \(history\) should"):
        read({"q": "b?", "a": "B", "before": history}, instruction="q", response="a", history="before")


def test_the_other_columns_with_text_are_known_by_name():
    rows = [
        {"question": "q", "answer": "a", "id": 1, "score": 0.5, "note": ""},
        {"question": "q", "answer": "a", "note": "x", "tags": ["y"]},
    ]
    assert read(*rows).unread == ("note", "tags")
    assert read(*rows, instruction="question", response="answer", system="note").unread == ("tags",)


def test_turns_that_nobody_answers_are_counted():
    answered = [{"from": "human", "value": "a"}, {"from": "gpt", "value": "b"}]
    rows = [{"conversations": answered}, {"conversations": [*answered, {"from": "human", "value": "c"}]}]
    assert read(*rows).unanswered == 1


def test_two_different_system_turns_are_refused():
    turns = [{"role": "system", "content": "Be kind."}, {"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}]
    assert said(read({"messages": turns, "system": "Be kind. "})[0])[0] == ("system", "Be kind.")
    with pytest.raises(DataError, match=r"^train.jsonl:1: column 'system' \(system\) is not the system turn"):
        read({"messages": turns, "system": "Be rude."})


def test_numbers_beside_an_instruction_are_read_as_text():
    rows = [{"instruction": "Double it", "input": 5, "output": "10"}, {"instruction": "Double it", "input": "6", "output": "12"}]
    assert [said(row)[0][1] for row in read(*rows)] == ["Double it 5", "Double it 6"]
    assert said(read({"question": "q", "context": 2.5, "answer": "a", "system": 7})[0]) == [
        ("system", "7"),
        ("user", "q 2.5"),
        ("assistant", "a"),
    ]


def test_keys_of_turns_that_are_not_read_are_named():
    turns = [
        {"role": "user", "content": "a", "weight": None},
        {"role": "assistant", "content": "b", "tool_calls": [{"name": "x"}], "reasoning_content": "hm"},
    ]
    assert read({"messages": turns, "tags": [{"key": "x"}]}).unread == ("tags", "messages.tool_calls", "messages.reasoning_content")


def test_a_first_row_in_place_of_columns_is_not_shown():
    with pytest.raises(DataError, match=r"among the columns \(a name as long as a sentence\), my\?name; set data.fields") as caught:
        read({"what is your name, SECRET?": "q", "my\nname": "a"})
    assert "SECRET" not in str(caught.value)
