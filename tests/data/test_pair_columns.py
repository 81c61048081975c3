"""Preference pairs: every layout that data sets write them in, and what a pair that does not fit is called."""

import pytest

from fedloom.data.fields import read_conversations
from fedloom.data.records import Provenance
from fedloom.data.rows import Row
from fedloom.errors import DataError, RecipeError
from fedloom.recipe import FieldsRecipe


def read(*rows, **fields):
    numbered = [Row(columns, f"pairs.jsonl:{number}") for number, columns in enumerate(rows, start=1)]
    return read_conversations(numbered, FieldsRecipe(**fields), Provenance.PRIVATE)


def said(example):
    return [(turn.role, turn.content) for turn in example.turns]


def test_prompt_chosen_and_rejected_are_recognised():
    example = read({"prompt": "2+2?", "chosen": "4", "rejected": "5", "user": "ada"})[0]
    assert said(example) == [("user", "2+2?"), ("assistant", "4")]
    assert (example.response, example.rejected, example.fields) == ("4", "5", {"user": "ada"})


def test_ultrafeedback_takes_the_answers_out_of_the_two_conversations():
    asked = {"role": "user", "content": "Greet."}
    row = {
        "prompt": "Greet.",
        "prompt_id": "x",
        "chosen": [asked, {"role": "assistant", "content": "Hello"}],
        "rejected": [asked, {"role": "assistant", "content": "No"}],
        "messages": [asked, {"role": "assistant", "content": "Hello"}],
        "score_chosen": 8.5,
    }
    example = read(row)[0]
    assert said(example) == [("user", "Greet."), ("assistant", "Hello")]
    assert example.rejected == "No"
    assert example.fields["score_chosen"] == "8.5"


def test_sharegpt_pairs_keep_the_turns_before():
    turns = [
        {"from": "system", "value": "s"},
        {"from": "human", "value": "a"},
        {"from": "gpt", "value": "b"},
        {"from": "human", "value": "c"},
    ]
    example = read({"conversations": turns, "chosen": {"from": "gpt", "value": "d"}, "rejected": {"from": "gpt", "value": "e"}})[0]
    assert said(example) == [("system", "s"), ("user", "a"), ("assistant", "b"), ("user", "c"), ("assistant", "d")]
    assert example.rejected == "e"


def test_hh_transcripts_are_split_at_their_last_answer():
    before = "\n\nHuman: hi\n\nAssistant: hello\n\nHuman: Where is\n\nthe key?"
    example = read({"chosen": f"{before}\n\nAssistant: On the table.", "rejected": f"{before}\n\nAssistant: On the floor."})[0]
    assert said(example) == [("user", "hi"), ("assistant", "hello"), ("user", "Where is\n\nthe key?"), ("assistant", "On the table.")]
    assert example.rejected == "On the floor."


def test_text_that_both_answers_share_is_kept():
    example = read({"chosen": "\n\nHuman: q\n\nAssistant: I think yes.", "rejected": "\n\nHuman: q\n\nAssistant: I think no."})[0]
    assert (example.response, example.rejected) == ("I think yes.", "I think no.")


def test_whole_conversations_with_the_same_beginning_are_pairs():
    asked = {"role": "user", "content": "q"}
    example = read({"chosen": [asked, {"role": "assistant", "content": "a"}], "rejected": [asked, {"role": "assistant", "content": "b"}]})[
        0
    ]
    assert said(example) == [("user", "q"), ("assistant", "a")]
    assert example.rejected == "b"


def test_a_system_column_opens_a_pair_too():
    example = read({"system": "Be brief.", "question": "q", "chosen": "a", "rejected": "b"})[0]
    assert said(example) == [("system", "Be brief."), ("user", "q"), ("assistant", "a")]


def test_named_columns_hold_the_pair():
    example = read({"frage": "q", "gut": "a", "schlecht": "b"}, prompt="frage", chosen="gut", rejected="schlecht")[0]
    assert (example.response, example.rejected, example.fields) == ("a", "b", {})


@pytest.mark.parametrize(
    ("row", "problem"),
    [
        ({"chosen": "\n\nHuman: secret\n\nAssistant: a", "rejected": "\n\nHuman: other\n\nAssistant: b"}, "answer different prompts"),
        ({"chosen": "secret", "rejected": "b"}, r"'chosen' \(chosen\) should be a transcript .*set data\.fields\.prompt"),
        ({"chosen": "\n\nHuman: secret\n\nAssistant: ", "rejected": "\n\nHuman: secret\n\nAssistant: b"}, "has no answer"),
        ({"prompt": "secret", "chosen": "a", "rejected": " "}, r"'rejected' \(rejected\) has no answer"),
        ({"prompt": "", "chosen": "secret", "rejected": "b"}, r"'prompt' \(prompt\) is empty"),
        ({"prompt": 7, "chosen": "secret", "rejected": "b"}, r"'prompt' \(prompt\) should be text or a list of turns, not a number"),
        ({"prompt": "secret", "chosen": None, "rejected": "b"}, "not null"),
        ({"prompt": "secret", "chosen": [{"role": "user", "content": "a"}], "rejected": "b"}, "should end with an assistant turn"),
        ({"prompt": [{"role": "assistant", "content": "secret"}], "chosen": "a", "rejected": "b"}, "should end with a user turn"),
    ],
)
def test_a_pair_that_does_not_fit_is_named_with_its_line_and_without_its_text(row, problem):
    with pytest.raises(DataError, match=rf"pairs\.jsonl:1: .*{problem}") as caught:
        read(row)
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize(
    ("fields", "problem"),
    [
        ({"chosen": "chosen"}, r"data\.fields\.rejected: set it too"),
        ({"prompt": "prompt"}, r"data\.fields\.chosen: set it too"),
        ({"prompt": "prompt", "chosen": "chosen", "rejected": "rejected", "messages": "m"}, "exclude instruction"),
    ],
)
def test_half_a_pair_and_two_layouts_at_once_are_refused(fields, problem):
    with pytest.raises(RecipeError, match=problem):
        read({"prompt": "q", "chosen": "a", "rejected": "b"}, **fields)


SYSTEM = {"role": "system", "content": "Be short."}
EARLIER = [{"role": "user", "content": "Name a bird."}, {"role": "assistant", "content": "A heron."}]
LAST = {"role": "user", "content": "And another?"}
WHOLE = [("system", "Be short."), ("user", "Name a bird."), ("assistant", "A heron."), ("user", "And another?"), ("assistant", "A wren.")]


@pytest.mark.parametrize(
    ("prompt", "before"),
    [
        ("Name a bird.", [SYSTEM, *EARLIER, LAST]),
        ("And another? ", [SYSTEM, *EARLIER, LAST]),
        ([SYSTEM, *EARLIER, LAST], []),
        ([SYSTEM, *EARLIER, LAST], [LAST]),
        ([SYSTEM, *EARLIER], [LAST]),
        ([SYSTEM, EARLIER[0]], [*EARLIER, LAST]),
    ],
    ids=["first turn", "last turn", "all turns", "all turns, the last twice", "earlier turns", "system turn and first turn"],
)
def test_no_turn_is_lost_where_prompt_and_answers_both_hold_some(prompt, before):
    answers = {key: [*before, {"role": "assistant", "content": said}] for key, said in (("chosen", "A wren."), ("rejected", "No."))}
    (example,) = read({"prompt": prompt, **answers})
    assert said(example) == WHOLE
    assert example.rejected == "No."


def test_a_prompt_that_is_no_part_of_the_conversations_is_refused_with_the_fix():
    answers = {key: [*EARLIER, LAST, {"role": "assistant", "content": "x"}] for key in ("chosen", "rejected")}
    with pytest.raises(DataError, match=r"^pairs.jsonl:1: column 'prompt' \(prompt\) is no part .* leave data.fields.prompt out"):
        read({"prompt": "Name a fish.", **answers})
    with pytest.raises(DataError, match="has another system turn"):
        read(
            {
                "prompt": [{"role": "system", "content": "Be long."}, LAST],
                "chosen": [SYSTEM, LAST, *EARLIER[1:]],
                "rejected": [SYSTEM, LAST, *EARLIER[1:]],
            }
        )
    assert said(read({"prompt": "Name a fish.", **answers}, chosen="chosen", rejected="rejected")[0])[0] == ("user", "Name a bird.")


def test_the_turns_of_the_answers_have_to_end_the_prompt():
    first = EARLIER[0]
    answers = {key: [first, {"role": "assistant", "content": "x"}] for key in ("chosen", "rejected")}
    with pytest.raises(DataError, match="is no part of the conversations"):
        read({"prompt": [*EARLIER, LAST], **answers})
