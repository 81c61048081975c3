"""KnowledgeSG: every method trains, an expert's knowledge comes down, and nothing of a private row goes to it."""

import json
import shutil
from dataclasses import dataclass
from typing import Any, ClassVar

import pytest

import fedloom
from fedloom.errors import FedloomError, RecipeError
from fedloom.federation.audit import WireLog
from fedloom.files import append_line
from fedloom.hooks import ServerSide
from fedloom.resolve import load_recipe
from fedloom.synthesis.generator import Generator, Reply, generators
from fedloom.synthesis.generators.loaded import LoadedGenerator
from fedloom.synthesis.knowledgesg import METHODS, KnowledgeSG

QUICK = {"rounds": 2, "evaluate.every": 2, "evaluate.baselines": [], "privacy.epsilon": None, "privacy.noise_multiplier": 1.0}
PUBLIC = [{"question": f"Is thing {n} big?", "answer": "It is big."} for n in range(6)]


@generators.register("noting")
@dataclass(frozen=True)
class Noting(Generator):
    """Says `says` to everything, and notes what it was asked."""

    says: str = "yes, it is."
    asked: ClassVar[list[Any]] = []

    def identity(self):
        return {"kind": "noting", "says": self.says}

    def replies(self, prompts, stop, known, lent):
        for place, prompt in enumerate(prompts):
            self.asked.append(prompt)
            yield place, Reply(self.says, 3, 9, True)


@pytest.fixture
def public(tmp_path):
    path = tmp_path / "public.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in PUBLIC))
    return str(path)


@pytest.fixture
def talks(monkeypatch):
    """The random model, which says nothing that can be read, says what a model would: pairs, instructions, answers.

    Gives what was asked: the hash of the state that was on, whether something was to be made up, and the turns.
    """
    asked = []

    def replies(self, prompts, stop, known, lent):
        for place, prompt in enumerate(prompts):
            asked.append((self.names["state"], bool(prompt.begun), len(prompt.turns)))
            text = f"Question: What is thing {place % 30}?\nAnswer: It is big." if prompt.begun else "It is big."
            yield place, Reply(text, 9, 9, True)

    monkeypatch.setattr(LoadedGenerator, "replies", replies)
    return asked


def finish(**settings):
    small = {"likeness": "words", "prompts": 40, "max_new_tokens": 40, "temperature": 1.0}
    return [{"kind": "knowledgesg", **small, "steps": 2, "batch_size": 2, "learning_rate": 5e-3, **settings}]


def lines(path):
    return [json.loads(line) for line in path.read_text().splitlines()]


@pytest.mark.parametrize("method", METHODS)
def test_every_method_runs_and_its_counts_add_up(method, public, tmp_path, talks, monkeypatch):
    monkeypatch.setenv("FEDLOOM_HOME", str(tmp_path / "home"))
    expert = {"kind": "scripted", "answers": ["yes, it is."]} if method == "knowledgesg" else None
    steps = finish(method=method, examples=public, expert=expert, shots=1, most_like_example=1.0, most_alike=1.0, keep=20)
    plain = {key: value for key, value in QUICK.items() if not key.startswith("privacy.")} | {"privacy": None}
    run = fedloom.run("knowledgesg_tiny", tmp_path / "run", **(plain if method == "non_private" else QUICK), finish=steps)
    assert run.status == "finished"
    metrics = {event["name"]: event["value"] for event in lines(run.folder / "metrics.jsonl")}
    found = {name.rpartition("/")[2]: value for name, value in metrics.items() if name.startswith("finish/")}
    if method == "non_private":
        assert found == {}
        return
    reasons = set(found) - {"made_up", "kept", "known", "tokens", "seconds"}
    assert found["made_up"] == 40 == found["kept"] + sum(found[name] for name in reasons)
    rows = lines(run.folder / "synthetic.jsonl")
    assert len(rows) == found["kept"] > 0
    rejected = lines(run.folder / "rejected.jsonl")
    assert sorted(row["reason"] for row in rejected) == sorted(name for name in reasons for _ in range(int(found[name])))
    described = json.loads((run.folder / "manifest.json").read_text())["finish"][0]
    assert described["prompt"]["name"] == "general"
    assert "finished/loss" in run.metrics
    who, answers = METHODS[method].makes_up, METHODS[method].answers
    assert {state == run.state.sha256() for state, *_ in talks} == {who == "joined"}
    turns = {"pair": set(), "expert": set(), "alone": {2}, "examples": {4}}[answers]  # the rules and the question; two more of an example
    assert {count for _, made_up, count in talks if not made_up} == turns
    assert {count for _, made_up, count in talks if made_up} == {4}


def test_clients_own_models_make_up_in_turn_and_are_not_left_behind(tmp_path):
    steps = finish(expert={"kind": "scripted", "answers": ["yes."]}, adapters="in_turn", check_domain=False)
    in_turn = fedloom.run("knowledgesg_tiny", tmp_path / "in_turn", **QUICK, finish=steps)
    joined = fedloom.run("knowledgesg_tiny", tmp_path / "joined", **QUICK, finish=[{**steps[0], "adapters": "joined"}])
    assert (in_turn.folder / "synthetic.jsonl").read_text() != (joined.folder / "synthetic.jsonl").read_text()
    assert not (in_turn.folder / "clients").exists()


def test_a_stopped_finish_goes_on_to_the_same_bytes(tmp_path, monkeypatch):
    monkeypatch.setenv("FEDLOOM_HOME", str(tmp_path / "home"))
    whole = fedloom.run("knowledgesg_tiny", tmp_path / "whole", **QUICK)
    shutil.rmtree(tmp_path / "home" / "written")
    kept = []

    def keep(path, line):
        if len(kept) == 20:
            raise KeyboardInterrupt
        kept.append(line)
        append_line(path, line)

    with monkeypatch.context() as patch:
        patch.setattr("fedloom.synthesis.writing.append_line", keep)
        with pytest.raises(FedloomError, match="resume"):
            fedloom.run("knowledgesg_tiny", tmp_path / "stopped", **QUICK)
    resumed = fedloom.resume(tmp_path / "stopped")
    assert resumed.status == "finished"
    assert resumed.adapter_sha256 == whole.adapter_sha256
    for name in ("synthetic.jsonl", "rejected.jsonl"):
        assert (resumed.folder / name).read_bytes() == (whole.folder / name).read_bytes()


def test_a_poor_expert_makes_a_poorer_model(tmp_path, talks):
    """All rows are answered with one word, which the good expert knows."""
    source = tmp_path / "rows.jsonl"
    source.write_text("".join(json.dumps({"question": f"Is thing {n} blue?", "answer": "blue"}) + "\n" for n in range(40)))
    losses = {}
    for says in ("blue", "zebra"):
        overrides = {"data.source": str(source), "data.provenance": "public", "data.partition": {"kind": "iid"}, "data.held_out": 0.2}
        steps = finish(expert={"kind": "noting", "says": says}, check_domain=False, steps=12, batch_size=4)
        losses[says] = fedloom.run("knowledgesg_tiny", tmp_path / says, **QUICK, **overrides, finish=steps).metrics["finished/loss"]
    assert losses["blue"] < losses["zebra"] - 1


def test_no_eight_words_of_a_private_row_and_no_canary_are_in_any_byte_that_leaves(tmp_path, monkeypatch):
    private = [f"patient {n} came with pain in the left knee and code QX{n:04d} on the chart" for n in range(40)]
    source = tmp_path / "private.jsonl"
    source.write_text("".join(json.dumps({"question": text, "answer": text}) + "\n" for text in private))
    sent = []
    entered = WireLog.enter
    monkeypatch.setattr(WireLog, "enter", lambda *args, **told: (sent.append(args[-1]), entered(*args, **told))[1])
    Noting.asked.clear()
    overrides = {"data.source": str(source), "data.partition": {"kind": "iid"}, "evaluate.every": 0, "privacy.ledger": "rows"}
    run = fedloom.run("knowledgesg_tiny", tmp_path / "run", **(QUICK | overrides), finish=finish(expert={"kind": "noting"}))
    asked = [turn.content for prompt in Noting.asked for turn in prompt.turns]
    left = [*sent, *(text.encode() for text in asked), *(path.read_bytes() for path in run.folder.rglob("*") if path.is_file())]
    words = [text.split() for text in private]
    grams = {" ".join(one[i : i + 8]).encode() for one in words for i in range(len(one) - 7)}
    assert sent
    assert asked
    assert {row["provenance"] for row in lines(run.folder / "synthetic.jsonl")} == {"dp_released"}
    for content in left:
        assert not [gram for gram in grams if gram in content]
        assert b"QX00" not in content


def test_what_cannot_be_done_is_refused_before_training(tmp_path, public):
    expert = {"kind": "scripted"}
    for settings, message in (
        ({}, "expert: is required by method knowledgesg"),
        ({"method": "icl"}, "icl shows examples; name public pairs in `examples`"),
        ({"method": "dp_instruct_icl"}, "dp_instruct_icl shows examples"),
        ({"method": "self_instruct", "adapters": "in_turn"}, "adapters in_turn makes up with trained models"),
        ({"expert": expert, "domain": "medcine"}, "no packaged prompt and no file 'medcine'"),
        ({"expert": {"kind": "scriptd"}}, "scriptd"),
    ):
        with pytest.raises(RecipeError, match=message):
            load_recipe("knowledgesg_tiny", {"finish": finish(**settings)})
    rows = tmp_path / "rows.jsonl"
    rows.write_text("".join(json.dumps({"question": f"q {n}?", "answer": "a"}) + "\n" for n in range(40)))
    own = {"data.source": str(rows), "data.partition": {"kind": "iid"}, "evaluate.every": 0}
    labelled = str(tmp_path / "labelled.jsonl")
    (tmp_path / "labelled.jsonl").write_text("".join(json.dumps(row | {"provenance": "private"}) + "\n" for row in PUBLIC))
    no_adapter = {"kind": "transformers", "model": "tiny-llama", "adapter": str(tmp_path / "nofolder")}
    of_clients = {"privacy": {"unit": "client", "epsilon": 8, "delta": 1e-3, "ledger": "run"}}
    quick = {key: value for key, value in QUICK.items() if not key.startswith("privacy.")}
    for overrides, steps, message in (
        ({**own, "privacy": None}, finish(expert=expert), "it could say text of such a row; set the part `privacy`"),
        ({"privacy.ledger": "rows", **own}, finish(method="non_private"), "non_private is training without privacy"),
        (of_clients, finish(expert=expert, adapters="in_turn"), "finish.0: knowledgesg works with models of single clients"),
        ({}, finish(expert=expert, examples=public, shots=7), "has 6 pairs, and a prompt shows 7"),
        ({}, finish(expert=expert, examples=labelled), "rows that are neither public nor dp_released by their column 'provenance'"),
        ({"privacy.ledger": "rows", **own}, finish(expert=expert, examples=str(rows)), "examples: is data.source, whose rows are private"),
        ({}, finish(expert=no_adapter), r"expert: generator.adapter: .*nofolder: holds no adapter_config.json"),
        ({}, finish(expert=expert, likeness="tfdif"), "likeness: 'tfdif' is neither tfidf, words nor all-minilm-l6-v2"),
    ):
        with pytest.raises(FedloomError, match=message):
            fedloom.run("knowledgesg_tiny", tmp_path / "refused", **quick | overrides, finish=steps)
        assert not (tmp_path / "refused" / "checkpoints").exists()


def test_when_nothing_can_be_used_the_counts_say_why_and_the_joined_model_stands(tmp_path):
    with pytest.raises(FedloomError, match=r"none of 3 instructions .* can be used \(made_up 3, unparsed 3\).*model without"):
        fedloom.run("knowledgesg_tiny", tmp_path / "run", **QUICK, finish=finish(expert={"kind": "scripted"}, prompts=3, max_new_tokens=1))
    assert (tmp_path / "run" / "adapter" / "adapter_model.safetensors").exists()


def test_training_goes_on_from_the_joined_adapter_where_the_recipe_says_so(tmp_path, talks):
    ends = {}
    for start in ("base", "joined"):
        steps = finish(expert={"kind": "scripted", "answers": ["yes."]}, check_domain=False, train_from=start, learning_rate=1e-12)
        run = fedloom.run("knowledgesg_tiny", tmp_path / start, **QUICK | {"evaluate.baselines": ["base"]}, finish=steps)
        ends[start] = run.metrics["finished/loss"], run.metrics["federated/loss"], run.metrics["base/loss"]
    assert ends["base"][0] == pytest.approx(ends["base"][2], abs=1e-4)
    assert ends["joined"][0] == pytest.approx(ends["joined"][1], abs=1e-4)
    assert ends["joined"][1] != pytest.approx(ends["joined"][2], abs=1e-2)


def test_the_step_is_told_what_the_model_may_say():
    assert ServerSide.__dataclass_fields__["says"].default == "private", "the strictest, where nobody says otherwise"
    assert KnowledgeSG(expert={"kind": "scripted"}).needs_updates is False
