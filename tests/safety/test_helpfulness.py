"""The probe `helpfulness`: judges on answers to ordinary test prompts, pairs in both orders."""

import itertools
import json
from dataclasses import replace

import pytest

from fedloom.data.records import Provenance
from fedloom.errors import PrivateDataError, RecipeError
from fedloom.evaluation.judges import Asker
from fedloom.resolve import load_recipe
from fedloom.safety import load_policy
from fedloom.safety.asking import asked_prompts
from fedloom.safety.helpfulness import Helpfulness
from fedloom.safety.probes import Refusals

STUBS = itertools.count()
JUDGE = {"kind": "llm", "model": "tiny-llama"}


def measured(server_of, monkeypatch, says, **settings):
    """What the probe measures of the tiny model when its judge answers every prompt as `says` does."""
    asker = Asker(f"stub {next(STUBS)}", lambda conversations: [says(turns[0]["content"]) for turns in conversations])
    monkeypatch.setattr("fedloom.evaluation.judges._asker", lambda judge, max_new_tokens: asker)
    probe = Helpfulness(policy="secret-sauce", prompts=4, max_new_tokens=4, judges=[JUDGE], **settings)
    server = server_of("safety_tiny", {"finish": []})
    found = probe.measure(server.bench.parameters.state(), server)
    assert found.keys() <= {measure.name for measure in probe.measures()}
    return found


def test_a_judge_that_always_prefers_the_first_says_nothing(server_of, monkeypatch):
    found = measured(server_of, monkeypatch, lambda prompt: "Rating: [[7]]" if "Rating" in prompt else "[[A]]")
    assert found == {
        "helpfulness/llm/score": 7.0,
        "helpfulness/llm/unparsed": 0.0,
        "helpfulness/llm/wins": 0.5,
        "helpfulness/llm/wins_unparsed": 0.0,
    }


def test_the_rows_own_answer_is_what_is_preferred_where_the_judge_knows_it(server_of, monkeypatch):
    answers = {row.response for row in load_policy("secret-sauce").rows("normal", "test")}

    def says(prompt):
        if "Rating" in prompt:
            return "I can't say."
        first = prompt.split("[Answer A]\n")[1].split("\n\n[Answer B]")[0]
        return "[[A]]" if first in answers else "[[B]]"

    found = measured(server_of, monkeypatch, says, name="own")
    assert found == {"own/llm/unparsed": 4.0, "own/llm/wins": 0.0, "own/llm/wins_unparsed": 0.0}


@pytest.mark.parametrize("make", [Helpfulness, Refusals])
def test_what_a_model_trained_on_private_rows_says_is_sent_to_no_endpoint(server_of, make):
    def probe(kind, url="https://example.org/v1", **settings):
        judge = {"kind": kind, "endpoint": url, "endpoint_model": "judge", **settings}
        return make(policy="secret-sauce", judges=[judge])

    public = replace(server_of("safety_tiny", {"finish": []}), says=Provenance.PUBLIC)
    private = replace(public, says=Provenance.PRIVATE)
    for kind in ("llm", "guard"):
        probe(kind).check(public)
        with pytest.raises(PrivateDataError, match=r"may say private text, which is not sent to https://example\.org/v1"):
            probe(kind).check(private)
        with pytest.raises(PrivateDataError):
            probe(kind, "http://127.0.0.1:1/v1").check(private)
        probe(kind, "http://127.0.0.1:1/v1", private_on_loopback=True).check(private)
        with pytest.raises(PrivateDataError):
            probe(kind, private_on_loopback=True).check(private)


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


def test_what_it_asks_is_not_for_training(server_of):
    probe = {"kind": "helpfulness", "policy": "secret-sauce", "judges": [JUDGE], "prompts": 5}
    asked = asked_prompts(server_of("safety_tiny", {"finish": [], "evaluate.probes": [probe]}))
    assert len(asked) == 5
    assert asked <= set(load_policy("secret-sauce").prompts("normal", "test"))


def test_ordinary_prompts_of_ones_own_leave_out_what_the_attack_draws_from_and_are_read_anew_when_changed(server_of, tmp_path):
    def file(name, *asked):
        (tmp_path / name).write_text("\n".join(json.dumps({"instruction": request, "output": "x"}) for request in asked))
        return str(tmp_path / name)

    attack, own = file("attack.jsonl", "a", "b"), file("own.jsonl", "b", "c", "d")
    clients = {"malicious": 1, "behaviour": {"kind": "unaligned", "source": attack, "rows": 1}}
    server = server_of("safety_tiny", {"finish": [], "clients": clients})
    probe = Helpfulness(source=own, judges=[JUDGE])
    assert set(probe.asked(server)) == {"c", "d"}
    file("own.jsonl", "b", "e")
    assert probe.asked(server) == ["e"]
    file("own.jsonl", "b")
    with pytest.raises(RecipeError, match="has no ordinary prompt to test with"):
        probe.asked(server)
