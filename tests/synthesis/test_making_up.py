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
    )
    expert = Says("yes", "no, it is not", "perhaps", "yes", "yes")
    made, _ = making(Says(*said), expert=expert)
    made.up([[example("What is copper wire?")]] * len(said), RELEASED, pairs=False)
    made.leave_out_alike("words", 0.8, 0.8)
    made.leave_out_other_domains()
    made.keep_first(2)
    expert.said = ("A fruit.", "*")
    made.answer_by_expert()
    assert [(item.text, item.answer) for item in made.left] == [("What is a red apple?", "A fruit.")]
    assert {item.reason: item.text for item in made.rejected} == {
        "unparsed": "Question: What is cut",
        "too_short": "What?",
        "like_example": "What is copper wire?",
        "near_duplicate": "What is a red apple tree?",
        "other_domain": "Where do swallows spend winter?",
        "domain_unparsed": "Who won the cup?",
        "over_limit": "Why do cats purr loudly?",
        "no_answer": "Which river is longest?",
    }
    counts = made.counts()
    assert counts["made_up"] == 9 == sum(counts.values()) - counts["made_up"]
    row = made.left[0].pair
    assert (row.response, row.provenance, row.fields) == ("A fruit.", RELEASED, {})
    assert made.rejected[0].pair.fields["reason"] == "unparsed"


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


def test_clients_models_take_turns_and_answer_what_they_made_up_themselves():
    east, west = Says("Question: What of the east?"), Says("Question: What of the west?")
    made, loaded = making(east, west)
    made.up([[]] * 5, RELEASED, pairs=False)
    assert texts(made) == ["What of the east?", "What of the west?"] * 2 + ["What of the east?"]
    assert loaded == [0, 1]
    east.said, west.said = ("In the east.",), ("In the west.",)
    made.answer(with_examples=False)
    assert [item.answer for item in made.left] == ["In the east.", "In the west."] * 2 + ["In the east."]


def test_answers_after_examples_show_those_of_the_making():
    writer = Says("Question: What is a lamp?")
    made, _ = making(writer)
    made.up([[example("What is a table?")]], RELEASED, pairs=False)
    made.answer(with_examples=True)
    assert [turn.content for turn in writer.asked[-1].turns[1:]] == ["What is a table?", "It is so.", "What is a lamp?"]
    made.answer(with_examples=False)
    assert [turn.content for turn in writer.asked[-1].turns[1:]] == ["What is a lamp?"]


@pytest.mark.parametrize("said", [Provenance.PRIVATE, Provenance.SYNTHETIC, Provenance.UNALIGNED])
def test_the_expert_reads_no_text_that_may_not_leave(said):
    expert = Says("yes")
    made, _ = making(Says("Question: Who is the patient?"), expert=expert)
    made.up([[]], said, pairs=False)
    for ask in (made.leave_out_other_domains, made.answer_by_expert):
        with pytest.raises(PrivateDataError, match=f"a {said} text was about to be sent to the expert"):
            ask()
    assert expert.asked == []
