"""The prepare step fedgc: rows of classes are generated at their client under a budget, guided or not, and mixed with its own."""

import json
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import torch
from local_runs import opened

import fedloom
from fedloom.data.records import GUIDED_BY, Conversation, Picture, Provenance, Turn, sha256_of_records
from fedloom.errors import DataError, FedloomError, PartError, PrivateDataError, RecipeError, RefusedMessageError, RunStoppedError
from fedloom.federation.observer import Observer
from fedloom.federation.opening import samples
from fedloom.hooks import PrepareContext
from fedloom.local_run import bench_plan
from fedloom.models.bench import make_bench
from fedloom.privacy.ledger import Ledger
from fedloom.resolve import load_recipe
from fedloom.spending import spending_of
from fedloom.synthesis.fedgc import FedGC

LABELS = ("a", "b", "c")
TWO_ROUNDS = {"rounds": 2, "task.steps": 2, "data.limit": 300, "data.partition": {"kind": "iid"}, "evaluate.baselines": []}
PAINTED = {"kind": "fedgc", "generator": {"kind": "paints"}, "total": 60}


@pytest.fixture
def few(monkeypatch):
    """Lets two own rows be enough to say what is near, so that what is made of a handful can be written down."""
    monkeypatch.setattr("fedloom.synthesis.copies.LEAST_OWN", 2)


@pytest.fixture(scope="module")
def bench():
    return make_bench(bench_plan(load_recipe("pictures_tiny")))


def picture(label, value, provenance=Provenance.PRIVATE):
    """Grey with a little noise: far from what the generator paints, and not far from the others."""
    return Picture(np.random.default_rng(value).integers(98, 158, (8, 8, 1), dtype=np.uint8), label, provenance)


OWN = [picture("a", value) for value in range(6)] + [picture("b", value) for value in range(6, 9)]


def step(**settings):
    return FedGC(**{"generator": {"kind": "paints"}, "strength": 1.0} | settings)


def done(made, records=OWN, told=(3.0, 2.0, 4.0), bench=None, seed=3):
    told = {f"class/{number}": value for number, value in enumerate(told)}
    stream, lent = np.random.default_rng(seed), type("Lent", (), {"lent": {}})()
    context = PrepareContext(
        "ann", records, stream, bench or lent, None, lambda done, total, pace: None, told, labels=LABELS  # type: ignore[arg-type]
    )  # fmt: skip
    return made.apply(context)


def test_generated_rows_stand_behind_the_own_ones_as_many_of_each_class_as_told(few):
    prepared = done(step(order="generated_then_private"))
    assert list(prepared.records[:9]) == OWN
    assert [one.label for one in prepared.records[9:]] == ["a"] * 3 + ["b"] * 2 + ["c"] * 4
    assert (prepared.generated, prepared.order, prepared.weight) == (9, "generated_then_private", None)
    assert {one.provenance for one in prepared.records[9:]} == {Provenance.SYNTHETIC}
    assert prepared.measured.items() >= {"wanted": 9, "generated": 9, "guided": 5, "filled": 1}.items()
    assert done(step(weight="private")).weight == 9.0
    only = done(step(train_on="generated"))
    assert (len(only.records), only.generated) == (9, 9)


def test_mixed_guidance_starts_from_own_rows_of_the_class_and_keeps_their_hash(few):
    made = done(step()).records[9:]
    hashes = {label: {sha256_of_records([one]) for one in OWN if one.label == label} for label in LABELS}
    for one in made:
        assert (one.fields.get(GUIDED_BY) in hashes[one.label]) is (one.label != "c")
        assert one.may_leave is (one.label == "c")
    guides = Counter(one.fields[GUIDED_BY] for one in done(step(), told=(12.0, 0.0, 0.0)).records[9:])
    assert set(guides) == hashes["a"]
    assert set(guides.values()) == {2}


def test_real_guidance_makes_nothing_of_classes_that_the_client_lacks_and_prompt_guidance_looks_at_no_own_row():
    assert {one.label for one in done(step(guidance="real")).records[9:]} == {"a", "b"}
    assert not any(GUIDED_BY in one.fields for one in done(step(guidance="prompt")).records[9:])
    others = [picture(one.label, value + 50) for value, one in enumerate(OWN)]
    assert done(step(guidance="prompt")).records[9:] == done(step(guidance="prompt"), records=others).records[9:]


def test_counts_are_those_of_the_own_rows_and_the_plan_adds_up_to_the_total():
    context = PrepareContext("ann", OWN, np.random.default_rng(0), None, None, print, labels=LABELS)  # type: ignore[arg-type]
    assert step(budget="inverse").counts(context) == {"class/0": 6, "class/1": 3, "class/2": 0}
    assert step(budget="equal").counts(context) == {"class/0": 0, "class/1": 0, "class/2": 0}
    counts = {"ann": {"class/0": 60, "class/1": 40}, "bob": {"class/0": 400, "class/1": 0}}
    plan = step(budget="water_filling", total=500).plan(counts)
    assert plan == {"ann": {"class/0": 190, "class/1": 210}, "bob": {"class/0": 0, "class/1": 100}}
    assert step(budget="equal", total=5).plan(counts) == {"ann": {"class/0": 2, "class/1": 1}, "bob": {"class/0": 1, "class/1": 1}}
    real = step(budget="water_filling", total=500, guidance="real").plan(counts)
    assert real["bob"] == {"class/0": 100, "class/1": 0}
    noised = {"ann": {"class/0": 59.8, "class/1": 40.3}, "bob": {"class/0": 400.4, "class/1": -2.2}}
    assert step(budget="water_filling", total=500).plan(noised) == plan


def test_rows_that_come_too_near_own_ones_are_refused_with_their_share(few):
    refused = (
        r"100% of the guided rows of client 'ann' are nearer to the own row that guided them .* \(at most 5% may be\);"
        r" raise strength \(it is 0.05\)"
    )
    for share in (0.05, 0.0):
        with pytest.raises(DataError, match=refused.replace("5%", f"{share:.0%}")):
            done(step(strength=0.05, near_copies=share))
    near = done(step(strength=0.05, near_copies=1.0))
    assert (near.measured["near_copies"], near.measured["guide_nearest"]) == (1.0, 1.0)
    assert near.left_out == {"near_copy": 5}
    assert near.measured.items() >= {"guided": 5, "generated": 4}.items()
    far = done(step(strength=1.0))
    assert near.measured["distance"] < far.measured["distance"]
    assert (far.measured["near_copies"], far.left_out) == (0.0, {})


def test_copies_are_found_among_repeated_own_rows(few):
    repeated = [*OWN, *OWN[:3]]
    assert done(step(strength=0.02, near_copies=1.0), records=repeated).measured["near_copies"] == 1.0


def test_fewer_than_twenty_different_own_rows_of_a_class_guide_nothing():
    own = [picture("a", value) for value in range(20)] + [picture("b", 20)]
    assert done(step(near_copies=1.0), records=own).measured["guided"] == 3  # those of the class a
    few = done(step(strength=0.02), records=[*own[:19], own[0]])
    assert few.measured["guided"] == 0
    assert "floor" not in few.measured
    assert len(few.records) == 20 + 9


def test_under_privacy_near_copies_are_left_out_and_nothing_tells_of_them(few):
    told = {"class/0": 6.0, "class/1": 0.0, "class/2": 0.0}
    lent = type("Lent", (), {"lent": {}})()
    context = PrepareContext(
        "ann", OWN, np.random.default_rng(3), lent, None, lambda *_: None, told, labels=LABELS, under_privacy=True  # type: ignore[arg-type]
    )  # fmt: skip
    assert len(step(strength=0.05).apply(context).records) == 9


@pytest.mark.parametrize("told", [(300.0, 0.0, 0.0), (-3.0, 0.0, 0.0), (1.5, 0.0, 0.0)])
def test_a_site_makes_no_more_than_the_terms_say(told):
    with pytest.raises(RefusedMessageError, match="asked for numbers of rows that are none, or for more than total 40 in all"):
        done(step(total=40), told=told)


def test_own_pictures_of_which_some_have_colours_are_no_guide_of_what_prompts_make():
    coloured = Picture(np.full((8, 8, 3), 120, np.uint8), "a", Provenance.PRIVATE)
    with pytest.raises(DataError, match="some of its pictures are grey and some coloured"):
        done(step(guidance="prompt"), records=[*OWN, coloured])
    assert done(step(), records=[*OWN, coloured]).records[-1].pixels.shape == (8, 8, 3)


@pytest.mark.parametrize("fault", ["not_finite", "flat"])
def test_pictures_that_show_nothing_are_left_out_and_counted(fault):
    prepared = done(step(generator={"kind": "paints", "fault": fault, "batch_size": 9}, guidance="prompt"))
    assert prepared.left_out == {fault: 3}
    assert len(prepared.records) == 9 + 6
    assert prepared.measured.items() >= {"wanted": 9, "generated": 6}.items()


@pytest.mark.parametrize(("fault", "said"), [("size", "a picture of 7 x 8 x 1, and 8"), ("lists", "a picture of list, and 8")])
def test_a_generator_that_gives_another_size_is_named(fault, said):
    with pytest.raises(PartError, match=f"generator: gave {said}"):
        done(step(generator={"kind": "paints", "fault": fault}))


def test_what_was_made_is_not_made_again_and_the_batch_decides_nothing():
    lent = type("Lent", (), {"lent": {}})()
    first = done(step(), bench=lent, seed=11)
    assert first.measured["known"] == 0
    again = done(step(), bench=lent, seed=11)
    assert lent.lent == {"painted": 9}
    assert again.records == first.records
    assert again.measured["known"] == 9
    assert done(step(generator={"kind": "paints", "batch_size": 5}), bench=lent, seed=11).records == first.records


def test_a_damaged_file_of_the_cache_is_made_anew(tmp_path, monkeypatch):
    monkeypatch.setenv("FEDLOOM_HOME", str(tmp_path))
    first = done(step(generator={"kind": "paints", "batch_size": 9}))
    (path,) = (tmp_path / "made").iterdir()
    content = bytearray(path.read_bytes())
    content[-40] ^= 0xFF
    path.write_bytes(content)
    again = done(step(generator={"kind": "paints", "batch_size": 9}))
    assert again.measured["known"] == 0
    assert again.records == first.records


def test_a_generator_that_gives_little_of_use_is_told(tmp_path):
    notes = []

    class Notes(Observer):
        def note(self, text):
            notes.append(text)

    broken = PAINTED | {"generator": {"kind": "paints", "fault": "flat", "batch_size": 1}, "guidance": "prompt"}
    fedloom.run("pictures_tiny", tmp_path / "run", Notes(), prepare=[broken], **TWO_ROUNDS | {"rounds": 1})
    (told,) = (note for note in notes if "nothing usable" in note)
    assert told.startswith("warning: wanted rows that the generator gave nothing usable for: 100.0% at the worst of 4 such clients of 4;")


def test_pictures_of_different_sizes_are_refused():
    with pytest.raises(DataError, match="prepare: fedgc: its pictures have different sizes"):
        done(step(), records=[*OWN, Picture(np.zeros((4, 4, 1), np.uint8), "a", Provenance.PRIVATE)])


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"train_on": "generated", "order": "private_then_generated"}, "train_on generated leaves own rows out"),
        ({"noise_on_counts": 3.0}, "noise_on_counts belongs to the budgets that count rows"),
    ],
)
def test_settings_that_do_not_go_together_are_refused(settings, said):
    with pytest.raises(RecipeError, match=said):
        step(**settings)


@pytest.mark.parametrize(
    ("recipe", "settings", "said"),
    [
        ("pictures_tiny", {"total": 3}, "total 3 is less than one row for each of 4 clients; raise it"),
        ("pictures_tiny", {"prompts": "multiple"}, "prompts multiple says nothing to paints, which reads no words; write single"),
        ("pictures_tiny", {"generator": {"kind": "paints", "words": True}, "prompts": "llm"}, "writer: is required with prompts llm"),
        ("pictures_tiny", {"generator": {"kind": "scripted"}}, "generator.kind: scripted writes text; choose a generator of pictures"),
        ("tiny", {}, "fedgc makes rows of classes, and sft does not classify"),
        ("pictures_tiny", {"twice": True}, "is there twice, and the second would take what the first has made for own rows"),
    ],
)
def test_what_a_run_cannot_do_is_refused_before_it_begins(recipe, settings, said, tmp_path):
    steps = [PAINTED, PAINTED] if settings.get("twice") else [PAINTED | settings]
    with pytest.raises(RecipeError, match=said):
        fedloom.run(recipe, tmp_path / "run", prepare=steps, **{"rounds": 1})


@pytest.mark.parametrize("order", ["mix", "generated_then_private", "private_then_generated"])
def test_a_run_with_generated_rows_trains_on_them_and_says_what_it_made(order, tmp_path):
    settings = {"order": order, "budget": "inverse", "guidance": "prompt"}
    run = fedloom.run("pictures_tiny", tmp_path / "run", prepare=[PAINTED | settings], **TWO_ROUNDS | {"evaluate.samples": 1})
    lines = [json.loads(line) for line in (run.folder / "metrics.jsonl").read_text().splitlines()]
    made = {line["client"]: line["value"] for line in lines if line["name"] == "prepare/fedgc/generated"}
    examples = {line["client"]: line["value"] for line in lines if line["name"] == "train/examples"}
    assert sum(made.values()) == 60
    assert sum(examples.values()) == 300 - 60 + 60  # a fifth is held out
    page = (run.folder / "report.html").read_text()
    assert "rows generated" in page
    assert page.count('<img src="data:image/png;base64,') >= 40
    assert "0, generated" in page


def test_private_rows_are_never_shown(tmp_path):
    run = fedloom.run(
        "pictures_tiny", tmp_path / "run", prepare=[PAINTED], **TWO_ROUNDS | {"evaluate.samples": 1, "data.provenance": "private"}
    )
    assert not (run.folder / "pictures.json").exists()
    assert "<img" not in (run.folder / "report.html").read_text()


def test_a_run_beside_which_the_cache_is_there_and_one_without_end_in_the_same_bytes(tmp_path, monkeypatch):
    first = fedloom.run("pictures_tiny", tmp_path / "first", prepare=[PAINTED], **TWO_ROUNDS)
    monkeypatch.setenv("FEDLOOM_HOME", str(tmp_path / "home"))
    assert fedloom.run("pictures_tiny", tmp_path / "second", prepare=[PAINTED], **TWO_ROUNDS).adapter_sha256 == first.adapter_sha256


def test_what_a_client_counts_for_decides_the_average(tmp_path):
    skewed = {**TWO_ROUNDS, "data.partition": {"kind": "dirichlet", "field": "label", "alpha": 0.3, "min_rows": 20}}
    states = [
        fedloom.run("pictures_tiny", tmp_path / weight, prepare=[PAINTED | {"weight": weight, "total": 500}], **skewed).state
        for weight in ("private", "all")
    ]
    assert not torch.equal(states[0].flat, states[1].flat)


PRIVATE = {"privacy": {"noise_multiplier": 1.0, "delta": 1e-3}, "data.provenance": "private"}


def test_counts_leave_under_privacy_with_noise_that_stands_in_the_ledger(tmp_path, monkeypatch):
    monkeypatch.setenv("FEDLOOM_HOME", str(tmp_path / "home"))
    sent = {}
    plan = FedGC.plan
    monkeypatch.setattr(FedGC, "plan", lambda self, counts: sent.setdefault("counts", counts) and plan(self, counts))
    fedgc = PAINTED | {"budget": "inverse", "guidance": "prompt", "noise_on_counts": 4.0}
    run = fedloom.run("pictures_tiny", tmp_path / "run", prepare=[fedgc], **TWO_ROUNDS | PRIVATE)
    values = [value for counts in sent["counts"].values() for value in counts.values()]
    assert not any(value.is_integer() for value in values)
    assert abs(np.mean(values) - 6) < 5 * 4 / np.sqrt(len(values))  # 240 rows over 4 clients and 10 classes
    spending = spending_of(run.folder)
    for one in spending:
        (before, event), *rounds = one.events
        assert (before, event.noise_multiplier, event.sample_rate, event.steps) == (0, 4.0, 1.0, 1)
        assert [number for number, _ in rounds] == [1, 2]
    without = fedloom.run("pictures_tiny", tmp_path / "equal", prepare=[PAINTED | {"guidance": "prompt"}], **TWO_ROUNDS | PRIVATE)
    assert {len(one.rounds) for one in spending_of(without.folder)} == {2}


def test_a_run_plans_its_noise_around_what_the_counts_have_spent(tmp_path, monkeypatch):
    monkeypatch.setenv("FEDLOOM_HOME", str(tmp_path / "home"))
    fedgc = PAINTED | {"budget": "inverse", "guidance": "prompt", "noise_on_counts": 2.0}
    private = PRIVATE | {"privacy": {"epsilon": 4.0, "delta": 1e-3}}
    run = fedloom.run("pictures_tiny", tmp_path / "run", prepare=[fedgc], **TWO_ROUNDS | private)
    assert all(3.5 < one.spent <= 4.0 for one in spending_of(run.folder))
    too_little = PAINTED | {"budget": "inverse", "guidance": "prompt", "noise_on_counts": 0.5}
    with pytest.raises(FedloomError, match=r"the ledger refuses the counts before round 1: with them, epsilon"):
        fedloom.run("pictures_tiny", tmp_path / "refused", prepare=[too_little], **TWO_ROUNDS | private | {"seed": 8})


@pytest.mark.parametrize("stopped_in", [1, 2])
@pytest.mark.parametrize("provenance", ["private", "public"])
def test_the_same_counts_are_answered_with_the_same_noise_and_charged_once(stopped_in, provenance, tmp_path, monkeypatch):
    monkeypatch.setenv("FEDLOOM_HOME", str(tmp_path / "home"))
    sent = []
    plan = FedGC.plan
    monkeypatch.setattr(FedGC, "plan", lambda self, counts: sent.append(counts) or plan(self, counts))

    class Stops(Observer):
        def stage(self, name, total):
            if name == f"round {stopped_in}/2":
                raise KeyboardInterrupt

    fedgc = PAINTED | {"budget": "inverse", "guidance": "prompt", "noise_on_counts": 4.0}
    settings = TWO_ROUNDS | PRIVATE | {"data.provenance": provenance}
    with pytest.raises(RunStoppedError):
        fedloom.run("pictures_tiny", tmp_path / "run", Stops(), prepare=[fedgc], **settings)
    run = fedloom.resume(tmp_path / "run")
    assert len(sent) == 2
    assert sent[0] == sent[1]
    for one in spending_of(run.folder):
        ledger = Ledger(Path(one.ledger).stem, Path(one.ledger).parent)
        assert [entry.charge.round for entry in ledger.entries()] == [0, 1, 2]


COUNTS = "prepare.0: fedgc sends counts of a client's rows up"


@pytest.mark.parametrize(
    ("settings", "unit", "said"),
    [
        ({"guidance": "mixed"}, "row", "prepare.0: fedgc makes a row of several"),
        ({"budget": "inverse", "guidance": "prompt"}, "row", "prepare.0: fedgc sends counts of a client's rows up"),
        (
            {"budget": "inverse", "guidance": "prompt", "noise_on_counts": 3.0},
            "client",
            "prepare.0: fedgc sends counts of a client's rows up",
        ),
        ({"guidance": "prompt", "order": "generated_then_private"}, "row", "under privacy of rows chance does; write mix"),
    ],
)
def test_what_would_undo_privacy_is_refused(settings, unit, said, tmp_path):
    private = PRIVATE | {"privacy": {"noise_multiplier": 1.0, "delta": 1e-3, "unit": unit}}
    with pytest.raises(RecipeError, match=said):
        fedloom.run("pictures_tiny", tmp_path / "run", prepare=[PAINTED | settings], **TWO_ROUNDS | private)


def row(text, label, provenance=Provenance.PRIVATE):
    return Conversation((Turn("system", "Which kind?"), Turn("user", text), Turn("assistant", label)), provenance)


TEXTS = [row(f"an own text of number {number} about apples", "a") for number in range(4)] + [
    row(f"a pear of {owner} own", "b") for owner in ("its", "her")
]
SAYS = {"kind": "says"}


def test_texts_are_written_for_a_class_or_as_an_own_text_in_other_words(says, few):
    asked = says(lambda prompt, number: f"A new text, number {number}.")
    prepared = done(step(generator=SAYS, strength=0.7), records=TEXTS, told=(2.0, 1.0, 1.0))
    made = prepared.records[6:]
    assert [(one.prompt[-1].content, one.response) for one in made] == [
        (f"A new text, number {number}.", label) for number, label in enumerate(["a", "a", "b", "c"])
    ]
    assert [one.turns[0].content for one in made] == ["Which kind?"] * 3 + ["A new text, number 3."]
    assert [GUIDED_BY in one.fields for one in made] == [True, True, True, False]
    assert [prompt.provenance for prompt in asked] == [Provenance.PRIVATE] * 3 + [Provenance.PUBLIC]
    said, _, guide = asked[2].turns[-1].content.partition("\n\n")
    assert said == 'Say the following text of the class "b" in other words.'
    assert guide in ("a pear of its own", "a pear of her own")
    assert asked[3].turns[-1].content == 'Write one text of the class "c".'


def test_texts_that_are_empty_or_written_twice_are_left_out_and_counted_and_so_is_a_guide(says, few):
    replies = ["", "New one.", "new  one.", "Another one."]
    says(lambda prompt, number: replies[number])
    prepared = done(step(generator=SAYS, guidance="prompt"), records=TEXTS, told=(4.0, 0.0, 0.0))
    assert [one.prompt[-1].content for one in prepared.records[6:]] == ["New one.", "Another one."]
    assert prepared.left_out == {"empty": 1, "repeated": 1}
    says(lambda prompt, number: prompt.turns[-1].content.splitlines()[-1].upper())
    assert done(step(generator=SAYS | {"name": "again"}), records=TEXTS, told=(0.0, 1.0, 0.0)).left_out == {"copied": 1}


def test_what_is_written_from_prompts_alone_does_not_change_with_an_own_row(says):
    says(lambda prompt, number: f"Text {prompt.draw}.")
    made = [
        done(step(generator=SAYS, guidance="prompt", system="Which?"), records=records, told=(3.0, 0.0, 2.0)).records[-5:]
        for records in (TEXTS, TEXTS[1:], [*TEXTS, row("Text 1.", "a")])
    ]
    assert made[0] == made[1] == made[2]
    assert {one.turns[0] for one in made[0]} == {Turn("system", "Which?")}
    assert not any(GUIDED_BY in one.fields for one in made[0])


def test_clients_and_seeds_have_texts_of_their_own(says):
    says(lambda prompt, number: f"Text {prompt.draw}.")
    texts = [
        {one.prompt[-1].content for one in done(step(generator=SAYS, guidance="prompt"), TEXTS, (5.0, 5.0, 0.0), seed=seed).records[6:]}
        for seed in (1, 2)
    ]
    assert len(texts[0] | texts[1]) == 20


def test_a_text_that_holds_an_own_one_is_a_near_copy(says, few):
    own = [
        f"{what} is {how}."
        for what, how in zip(["harbour", "violin", "bakery", "moss", "engine", "lantern", "carpet", "orchard"], "abcdefgh", strict=True)
    ]
    says(lambda prompt, number: f"{prompt.turns[-1].content.splitlines()[-1]} So it is.")
    with pytest.raises(DataError, match=r"100% of the guided rows of client 'ann' are nearer .*; write guidance: prompt"):
        done(step(generator=SAYS), records=[row(text, "a") for text in own], told=(8.0, 0.0, 0.0))


def test_private_texts_do_not_guide_a_model_elsewhere(few):
    endpoint = {"kind": "endpoint", "url": "http://example.org/v1", "model": "m"}
    with pytest.raises(PrivateDataError, match="a private text was about to be sent"):
        done(step(generator=endpoint), records=TEXTS)


def test_no_answers_of_a_model_that_was_trained_on_what_private_texts_guided(tmp_path):
    """Own rows are left out of training, and PUBLIC ones are measured: the model can say what the private ones say all the same."""
    rows = [{"messages": [{"role": "user", "content": f"{text} {n}"}, {"role": "assistant", "content": label}]}
            for n in range(8) for text, label in (("a pear", "yes"), ("moss in rain", "no"))]  # fmt: skip
    for name in ("own", "measured"):
        (tmp_path / f"{name}.jsonl").write_text("".join(json.dumps(one) + "\n" for one in rows))
    step = {"kind": "fedgc", "total": 4, "guidance": "real", "train_on": "generated", "generator": {"kind": "scripted"}, "near_copies": 1.0}
    settings = {
        "data": {"source": str(tmp_path / "own.jsonl"), "provenance": "private", "held_out": 0, "partition": {"kind": "iid"}},
        "task": {"kind": "classify", "labels": ["yes", "no"], "steps": 1, "batch_size": 2},
        "evaluate": {"source": str(tmp_path / "measured.jsonl"), "provenance": "public", "every": 0, "samples": 2},
        "federation": {"clients": 2, "rounds": 1},
        "prepare": [step],
    }
    with opened(load_recipe({"model": {"id": "tiny-llama"}, **settings}), tmp_path / "run") as (local, federation, _):
        assert samples(federation, local.start, local.start, 2, 4) == {}


def test_scenes_of_a_language_model_become_prompts(says):
    asked = says(
        lambda prompt, number: "1. at the sea\n2. in a town\nAnd so on:" if "Name 2" in prompt.turns[-1].content else f"Text {number}."
    )
    prepared = done(step(generator=SAYS, guidance="prompt", prompts="llm", scenes=2), records=TEXTS, told=(3.0, 0.0, 0.0))
    assert len(prepared.records) == len(TEXTS) + 3
    wanted = [f'Write one text of the class "a". It is about this: {scene}' for scene in ("at the sea", "in a town", "at the sea")]
    assert [prompt.turns[-1].content for prompt in asked[1:]] == wanted
