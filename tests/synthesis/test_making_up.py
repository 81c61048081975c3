"""Making up, step by step: what is left out for which reason, whose turn it is, and what the expert may read."""

from types import SimpleNamespace

import pytest

from fedloom.data.records import Conversation, Provenance, Turn
from fedloom.errors import PrivateDataError
from fedloom.synthesis.domain import load_domain
from fedloom.synthesis.generator import Generator, Reply
from fedloom.synthesis.making_up import MakingUp, TrainedWriter

RELEASED = Provenance.DP_RELEASED


class Says(Generator):
    """Gives `replies` in turn, each the text alone, or with a sign * at its end when it is cut; notes what it was asked."""

    made = 0

    def __init__(self, *said):
        Says.made += 1
        self.said, self.number, self.asked = said, Says.made, []

    def identity(self):
        return {"kind": "says", "number": self.number, "said": list(self.said)}

    def replies(self, prompts, stop, known, lent):
        for place, prompt in enumerate(prompts):
            self.asked.append(prompt)
            text = self.said[place % len(self.said)]
            yield place, Reply(text.rstrip("*"), 3, 9, not text.endswith("*"))


@pytest.fixture(autouse=True)
def _own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("FEDLOOM_HOME", str(tmp_path / "home"))


def example(question):
    return Conversation((Turn("user", question), Turn("assistant", "It is so.")), Provenance.PUBLIC)


def making(*writers, expert=None):
    loaded = []
    bench = SimpleNamespace(parameters=SimpleNamespace(load=loaded.append))
    made = MakingUp(load_domain("general"), [TrainedWriter(one, bench, n) for n, one in enumerate(writers)], expert, lambda *_: None)
    return made, loaded


def texts(made):
    return [item.text for item in made.left]


def test_everything_that_is_left_out_has_its_reason_and_the_counts_add_up():
    said = (
        "Question: What is a red apple?",
        "Question: What is cut*",
        "Question: What?",
        "Question: What is copper wire?",
        "Question: What is a red apple tree?",
        "Question: Where do swallows spend winter?",
        "Question: Who won the cup?",
        "Question: Which river is longest?",
        "Question: Why do cats purr loudly?",
        "Question: When do lions sleep?",
    )
    expert = Says("yes", "no, it is not", "perhaps", "yes", "yes", "yes")
    made, _ = making(Says(*said), expert=expert)
    made.up([[example("What is copper wire?")]] * len(said), RELEASED, pairs=False)
    made.leave_out_alike("words", 0.8, 0.8)
    made.leave_out_other_domains()
    expert.said = ("A fruit.", "*")
    made.keep_first(2, made.by_expert, check_personal_data=False)
    assert [(item.text, item.answer) for item in made.left] == [
        ("What is a red apple?", "A fruit."),
        ("Why do cats purr loudly?", "A fruit."),  # in the place of the river, which has no answer
    ]
    assert {item.reason: item.text for item in made.rejected} == {
        "unparsed": "Question: What is cut",
        "too_short": "What?",
        "like_example": "What is copper wire?",
        "near_duplicate": "What is a red apple tree?",
        "other_domain": "Where do swallows spend winter?",
        "domain_unparsed": "Who won the cup?",
        "no_answer": "Which river is longest?",
        "over_limit": "When do lions sleep?",
    }
    counts = made.counts()
    assert counts["made_up"] == 10 == sum(counts.values()) - counts["made_up"]
    row = made.left[0].pair
    assert (row.response, row.provenance, row.fields) == ("A fruit.", RELEASED, {})
    assert made.rejected[0].pair.fields["reason"] == "unparsed"


@pytest.mark.parametrize("by", ["words", "tfidf"])
def test_the_same_question_twice_is_one_even_when_it_has_stopwords_alone(by):
    made, _ = making(Says("Question: What is this and who are you?"))
    made.up([[]] * 3, RELEASED, pairs=False)
    made.leave_out_alike(by, 0.5, 0.8)
    assert len(made.left) == 1
    assert made.counts()["near_duplicate"] == 2


def test_pairs_are_made_up_in_one_reply_and_a_cut_answer_loses_its_last_sentence():
    made, _ = making(
        Says("Question: What is it?\nAnswer: It is one. It is", "Question: What is it?\nAnswer: It is one. It is*", "Answer: a")
    )
    made.up([[]] * 3, RELEASED, pairs=True)
    assert [item.answer for item in made.left] == ["It is one. It is", "It is one."]
    assert made.counts()["unparsed"] == 1


def test_pairs_with_personal_data_are_left_out(known_names):
    known_names("Anna Schmidt")
    said = ("Question: Who is Anna Schmidt now?\nAnswer: A nurse.", "Question: Who is the nurse?\nAnswer: It is Anna Schmidt.")
    made, _ = making(Says(*said, "Question: What is a nurse?\nAnswer: A profession."))
    made.up([[]] * 3, RELEASED, pairs=True)
    made.leave_out_personal_data()
    assert texts(made) == ["What is a nurse?"]
    assert made.counts()["personal_data"] == 2
    assert [(item.pair.turns[0].content, len(item.pair.turns)) for item in made.rejected] == [("", 1)] * 2, "it is not repeated"


def test_personal_data_is_not_shown_to_the_expert_and_its_answers_are_looked_at(known_names):
    known_names("Anna Schmidt")
    expert = Says("Ask Anna Schmidt.", "A profession.")
    made, _ = making(Says("Question: Who is Anna Schmidt?", "Question: Who can help?", "Question: What is a nurse?"), expert=expert)
    made.up([[]] * 3, RELEASED, pairs=False)
    made.leave_out_personal_data()
    made.keep_first(3, made.by_expert, check_personal_data=True)
    assert ["Anna" in turn.content for prompt in expert.asked for turn in prompt.turns] == [False, False]
    assert texts(made) == ["What is a nurse?"]


def test_clients_models_take_turns_and_answer_what_they_made_up_themselves():
    east, west = Says("Question: What of the east?"), Says("Question: What of the west?")
    made, loaded = making(east, west)
    made.up([[]] * 5, RELEASED, pairs=False)
    assert texts(made) == ["What of the east?", "What of the west?"] * 2 + ["What of the east?"]
    assert loaded == [0, 1]
    east.said, west.said = ("In the east.",), ("In the west.",)
    made.keep_first(5, made.by_makers(lambda number: ()), check_personal_data=False)
    assert [item.answer for item in made.left] == ["In the east.", "In the west."] * 2 + ["In the east."]


def test_answers_come_after_the_examples_that_are_shown_for_their_number():
    writer = Says("Question: What is a lamp?", "Question: What is a door?")
    made, _ = making(writer)
    made.up([[example("What is a table?")]] * 2, RELEASED, pairs=False)
    writer.asked.clear()
    made.keep_first(2, made.by_makers(lambda number: [example(f"What is the number {number}?")]), check_personal_data=False)
    assert [[turn.content for turn in prompt.turns[1:]] for prompt in writer.asked] == [
        ["What is the number 0?", "It is so.", "What is a lamp?"],
        ["What is the number 1?", "It is so.", "What is a door?"],
    ]


@pytest.mark.parametrize("said", [Provenance.PRIVATE, Provenance.SYNTHETIC, Provenance.UNALIGNED])
def test_the_expert_reads_no_text_that_may_not_leave(said):
    expert = Says("yes")
    made, _ = making(Says("Question: Who is the patient?"), expert=expert)
    made.up([[]], said, pairs=False)
    for ask in (made.leave_out_other_domains, lambda: made.by_expert(made.left)):
        with pytest.raises(PrivateDataError, match=f"a {said} text was about to be sent to the expert"):
            ask()
    assert expert.asked == []
