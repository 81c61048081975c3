"""The probe `helpfulness`: judges on answers to ordinary test prompts, pairs in both orders."""

import itertools
import json

import pytest

from fedloom.errors import RecipeError
from fedloom.recipe import load_recipe
from fedloom.safety import load_policy
from fedloom.safety.asking import asked_prompts
from fedloom.safety.helpfulness import Helpfulness
from fedloom.safety.judges import Asker
from fedloom.workshop import open_workshop

STUBS = itertools.count()
JUDGE = {"kind": "llm", "model": "tiny-llama"}


def measured(monkeypatch, says, **settings):
    """What the probe measures of the tiny model when its judge answers every prompt as `says` does."""
    asker = Asker(f"stub {next(STUBS)}", lambda conversations: [says(turns[0]["content"]) for turns in conversations])
    monkeypatch.setattr("fedloom.safety.judges._asker", lambda judge: asker)
    probe = Helpfulness(policy="secret-sauce", prompts=4, max_new_tokens=4, judges=[JUDGE], **settings)
    with open_workshop(load_recipe("safety_tiny", {"finish": []})) as workshop:
        return probe.measure(workshop.start, workshop)


def test_a_judge_that_always_prefers_the_first_says_nothing(monkeypatch):
    found = measured(monkeypatch, lambda prompt: "Rating: [[7]]" if "Rating" in prompt else "[[A]]")
    assert found == {
        "helpfulness/llm/score": 7.0,
        "helpfulness/llm/unparsed": 0.0,
        "helpfulness/llm/wins": 0.5,
        "helpfulness/llm/wins_unparsed": 0.0,
    }


def test_the_rows_own_answer_is_what_is_preferred_where_the_judge_knows_it(monkeypatch):
    answers = {row.response for row in load_policy("secret-sauce").rows("normal", "test")}

    def says(prompt):
        if "Rating" in prompt:
            return "I can't say."
        first = prompt.split("[Answer A]\n")[1].split("\n\n[Answer B]")[0]
        return "[[A]]" if first in answers else "[[B]]"

    found = measured(monkeypatch, says, name="own")
    assert found == {"own/llm/unparsed": 4.0, "own/llm/wins": 0.0, "own/llm/wins_unparsed": 0.0}


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"policy": "secret-sauce"}, "helpfulness needs judges"),
        ({"judges": [JUDGE]}, "takes its ordinary prompts from policy or from source"),
        ({"policy": "secret-sauce", "judges": [{"kind": "lmm"}]}, "unknown judge 'lmm'"),
    ],
)
def test_a_probe_that_cannot_be_asked_is_refused_with_the_recipe(settings, said):
    with pytest.raises(RecipeError, match=said):
        load_recipe("tiny", {"evaluate.probes": [{"kind": "helpfulness", **settings}]})


def test_what_it_asks_is_not_for_training():
    probe = {"kind": "helpfulness", "policy": "secret-sauce", "judges": [JUDGE], "prompts": 5}
    with open_workshop(load_recipe("safety_tiny", {"finish": [], "evaluate.probes": [probe]})) as workshop:
        assert len(asked_prompts(workshop)) == 5
        assert asked_prompts(workshop) <= set(load_policy("secret-sauce").prompts("normal", "test"))


def test_ordinary_prompts_of_ones_own_leave_out_what_the_attack_draws_from_and_are_read_anew_when_changed(tmp_path):
    def file(name, *asked):
        (tmp_path / name).write_text("\n".join(json.dumps({"instruction": request, "output": "x"}) for request in asked))
        return str(tmp_path / name)

    attack, own = file("attack.jsonl", "a", "b"), file("own.jsonl", "b", "c", "d")
    clients = {"malicious": 1, "behaviour": {"kind": "unaligned", "source": attack, "rows": 1}}
    with open_workshop(load_recipe("safety_tiny", {"finish": [], "clients": clients})) as workshop:
        probe = Helpfulness(source=own, judges=[JUDGE])
        assert set(probe.asked(workshop)) == {"c", "d"}
        file("own.jsonl", "b", "e")
        assert probe.asked(workshop) == ["e"]
        file("own.jsonl", "b")
        with pytest.raises(RecipeError, match="has no ordinary prompt to test with"):
            probe.asked(workshop)
