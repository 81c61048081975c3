"""The prepare step u2s: documents become pairs at their client, with counts that add up, and nothing of a private text leaves."""

import json

import numpy as np
import pytest
from local_runs import opened

import fedloom
from fedloom.data.records import Document, Provenance
from fedloom.data.tiny_documents import TEXTS
from fedloom.errors import DataError, FedloomError, InterruptedRunError, RecipeError, RunStoppedError
from fedloom.hooks import PrepareContext
from fedloom.local_run import bench_plan
from fedloom.models.bench import make_bench
from fedloom.resolve import load_recipe
from fedloom.synthesis.examples import load_pool
from fedloom.synthesis.u2s import U2S

SECRET = "ZQXJ7"
SCRIPTED = {"kind": "scripted"}
SUBJECTS = dict(list(TEXTS["museum"][1].items())[:6])
METALS = tuple(SUBJECTS)


def text_of(metal):
    said, more = SUBJECTS[metal]
    return f"{metal} {said}. {more}."


def documents(provenance=Provenance.PRIVATE, **fields):
    return [Document(text_of(metal), provenance, {"file": f"{metal}.txt", **fields}) for metal in METALS]


@pytest.fixture(scope="module")
def bench():
    return make_bench(bench_plan(load_recipe("u2s_tiny")))


def step(**settings):
    return U2S(**{"generator": SCRIPTED, "embedder": "words", "floor": 0.0, "shortest_piece": 3, "piece_tokens": 128} | settings)


def prepared(bench, made, records, tmp_path, client="ann"):
    context = PrepareContext(
        client, records, np.random.default_rng(3), bench, tmp_path / "cache", lambda done, total, pace: None, sent=list(made.sends())
    )
    return made.apply(context)


@pytest.mark.parametrize("examples", ["none", "fixed", "random", "retrieved"])
def test_pieces_become_pairs_and_what_is_left_out_adds_up(bench, tmp_path, examples):
    records = [*documents(), Document("Nothing is said of any thing", Provenance.PRIVATE), Document("Hm.", Provenance.PRIVATE)]
    done = prepared(bench, step(examples=examples), records, tmp_path)
    assert [row.prompt[-1].content for row in done.records] == [f"What is {metal}?" for metal in METALS]
    assert done.left_out == {"too_short_piece": 1, "unparsed": 1}
    assert done.measured["pieces"] == 7 == len(done.records) + done.left_out["unparsed"]
    assert (done.measured["documents"], done.measured["parsed"], done.measured["kept"]) == (8, 6, 6)
    assert sum(value for name, value in done.measured.items() if name.startswith("cosine/")) == (7 if examples == "retrieved" else 0)


def test_a_pair_knows_its_piece_and_is_as_private_as_that(bench, tmp_path):
    row = prepared(bench, step(), documents(), tmp_path).records[0]
    assert row.provenance is Provenance.PRIVATE
    assert (row.fields["file"], row.fields["offset"]) == ("Copper.txt", "0")
    assert len(row.fields["written_from"]) == 64
    done = prepared(bench, step(), documents(Provenance.PUBLIC), tmp_path)
    assert done.records[0].provenance is Provenance.SYNTHETIC
    assert [document.text for _, document in done.shown] == [text_of(metal) for metal in METALS]
    assert prepared(bench, step(), documents(), tmp_path).shown == []


def test_limits_budgets_and_weights(bench, tmp_path):
    limited = prepared(bench, step(pieces=4, pairs=3), documents(), tmp_path)
    assert len(limited.records) == 3
    assert limited.left_out == {"not_drawn": 2, "over_limit": 1}
    assert prepared(bench, step(weight="documents"), documents(), tmp_path).weight == 6.0
    assert limited.weight is None
    spent = prepared(
        bench,
        step(token_budget=1, generator={"kind": "scripted", "answers": ["Question: What is Copper?\nAnswer: a metal."]}),
        documents(),
        tmp_path,
    )
    assert spent.left_out["over_budget"] == 5


def test_the_domain_of_examples_is_compared_with_the_documents(bench, tmp_path):
    done = prepared(bench, step(examples="fixed", shots=4), documents(domain="medicine"), tmp_path)
    assert (done.measured["examples_known"], done.measured["examples_right"]) == (24, 24)


def test_fixed_examples_are_all_that_the_server_sends():
    assert step(examples="fixed", shots=2).sends() == load_pool("general")[:2]
    assert step(examples="none").sends() == ()
    assert {row.provenance for row in step(examples="random").sends()} == {Provenance.PUBLIC}


def test_a_writer_that_says_nothing_of_use_stops_the_run_with_its_reasons(bench, tmp_path):
    with pytest.raises(RunStoppedError, match=r"none of 6 pieces gave a pair \(unparsed 6\); use a stronger writer or other filters"):
        prepared(bench, step(generator={"kind": "scripted", "answers": ["I cannot do that."]}), documents(), tmp_path)


def test_rows_that_are_no_documents_are_refused(bench, tmp_path):
    with pytest.raises(DataError, match="u2s writes from documents, and these rows are conversations"):
        prepared(bench, step(), list(load_pool("general")), tmp_path)


@pytest.mark.parametrize(
    ("settings", "problem"),
    [
        ({"generator": {"kind": "scriptde"}}, r"prepare\.0\.generator\.kind: unknown generator 'scriptde'; did you mean 'scripted'"),
        ({"generator": {"kind": "transformers", "batch": 3}}, r"prepare\.0\.generator\.batch: unknown key; did you mean 'batch_size'"),
        ({"generator": {"kind": "endpoint"}}, r"prepare\.0\.generator\.url: is required"),
        ({"generator": {}}, r"prepare\.0\.generator\.kind: is required"),
        ({"filters": [{"kind": "length"}]}, r"prepare\.0\.filters\.0\.kind: unknown pair filter 'length'; did you mean 'lengths'"),
        ({"filters": [{"kind": "grounded", "support": 2}]}, r"prepare\.0\.filters\.0\.support: .*less than or equal to 1"),
        ({"overlap": 90, "piece_tokens": 128}, "overlap 90 should be less than half of piece_tokens"),
        ({"examples": "nearest"}, r"prepare\.0\.examples"),
        ({"pool": "./none.jsonl"}, r"prepare\.0\.pool: .*no such file or folder"),
    ],
)
def test_a_wrong_setting_is_named_before_anything_is_loaded(settings, problem):
    with pytest.raises(RecipeError, match=problem):
        load_recipe({"prepare": [{"kind": "u2s", "generator": SCRIPTED} | settings]})


def test_a_pool_without_documents_is_one_line(tmp_path):
    (tmp_path / "pool.jsonl").write_text('{"question": "a?", "answer": "b"}\n')
    with pytest.raises(DataError, match=r"pool: .*every row should have its text in the column 'document'"):
        load_pool(str(tmp_path / "pool.jsonl"))


@pytest.fixture
def private(tmp_path):
    """Documents of two owners, each text with the secret in it."""
    for owner in ("clinic", "bank"):
        (tmp_path / "docs" / owner).mkdir(parents=True)
        for metal in METALS:
            (tmp_path / "docs" / owner / f"{metal}.txt").write_text(text_of(metal).replace(" is ", f" is {SECRET} "))
    return tmp_path / "docs"


def recipe(source, **overrides):
    return load_recipe("u2s_tiny", {"data.source": f"documents:{source}", "evaluate.baselines": ["base"], "rounds": 1, **overrides})


def test_no_private_text_is_in_a_run_folder(private, tmp_path):
    run = fedloom.run(recipe(private, **{"evaluate.source": None}), out=tmp_path / "run")
    assert not (run.folder / "pairs.json").exists()
    holding = [path for path in run.folder.rglob("*") if path.is_file() and SECRET.encode() in path.read_bytes()]
    assert holding == []
    assert run.metrics["federated/loss"] > 0  # pairs written from held-out documents are measured


def test_a_held_out_document_that_gives_no_pair_is_not_measured_and_stops_nothing(tmp_path):
    for owner in ("clinic", "bank"):
        (tmp_path / "docs" / owner).mkdir(parents=True)
        for number, metal in enumerate(METALS):
            text = text_of(metal) if number < 3 else f"Nothing of use stands in the leaf {number} at all"
            (tmp_path / "docs" / owner / f"{metal}.txt").write_text(text)
    seen = set()
    for seed in range(4):
        run = fedloom.run(
            recipe(tmp_path / "docs", **{"evaluate.source": None, "data.held_out": 0.2}), out=tmp_path / f"run-{seed}", seed=seed
        )
        seen.add(json.loads((run.folder / "manifest.json").read_text())["data"]["clients"][0]["held_out"])
    assert seen == {0, 1}


def test_the_pool_comes_down_in_the_message_to_prepare(private, tmp_path):
    chosen = recipe(private, **{"evaluate.source": None})
    with opened(chosen, tmp_path / "run") as (_, federation, told):
        assert len(federation.sent["0"]) == len(load_pool("general"))
        assert told.kept["private"]["kept"] == 10  # one of six documents of each owner is held out
        sizes = [json.loads(line) for line in (tmp_path / "run" / "wire.jsonl").read_text().splitlines()]
        assert [one for one in sizes if one["kind"] == "prepare" and one["bytes"] > 2000]


def test_weights_by_documents_count_in_the_average(private, tmp_path):
    (private / "bank" / "Chalk.txt").write_text("Nothing to be asked of any thing here")
    chosen = recipe(private, **{"evaluate.source": None, "data.held_out": 0, "evaluate.every": 0})
    prepare = [dict(chosen.prepare[0].model_dump(), weight="documents")]
    run = fedloom.run(
        recipe(private, **{"evaluate.source": None, "data.held_out": 0, "evaluate.every": 0, "prepare": prepare}), out=tmp_path / "r"
    )
    events = [json.loads(line) for line in (run.folder / "metrics.jsonl").read_text().splitlines()]
    assert {one["client"]: one["value"] for one in events if one["name"] == "train/examples"} == {"bank": 6, "clinic": 6}
    assert {one["client"]: one["value"] for one in events if one["name"] == "prepare/u2s/kept"} == {"bank": 5, "clinic": 6}


def test_the_manifest_names_prompt_generator_and_filters(private, tmp_path):
    run = fedloom.run(recipe(private, **{"evaluate.source": None}), out=tmp_path / "run")
    manifest = json.loads((run.folder / "manifest.json").read_text())
    (described,) = manifest["prepare"]
    assert described["prompt"]["name"] == "pairs"
    assert described["generator"] == {"kind": "scripted", "version": 1, "answers": None}
    assert described["filters"][0] == "lengths"
    assert "kept" in {measure["name"] for measure in manifest["measures"]["prepare"]}


def test_an_endpoint_gets_no_private_document(private, tmp_path, serve):
    server = serve(lambda turns: "Question: a?\nAnswer: b.")
    prepare = [{"kind": "u2s", "examples": "none", "generator": {"kind": "endpoint", "url": server.url, "model": "w"}, "shortest_piece": 3}]
    with pytest.raises(FedloomError, match=r"client 'bank': a private text was about to be sent to http://127\.0\.0\.1"):
        fedloom.run(recipe(private, prepare=prepare, **{"evaluate.source": None}), out=tmp_path / "run")
    assert server.asked == []


def test_an_endpoint_that_is_down_stops_the_run_and_resume_goes_on(private, tmp_path, serve):
    def written(turns):
        metal = turns[-1]["content"].removeprefix("Text:\n").split()[0]
        return f"Question: What is {metal}?\nAnswer: {metal} {SUBJECTS[metal][0]}."

    server = serve(written, [200, 200, *[503] * 4])
    generator = {"kind": "endpoint", "url": server.url, "model": "w", "private_on_loopback": True, "at_once": 1}
    prepare = [{"kind": "u2s", "examples": "none", "generator": generator, "shortest_piece": 3}]
    chosen = recipe(private, prepare=prepare, **{"evaluate.source": None, "data.held_out": 0, "evaluate.every": 0})
    with pytest.raises(RunStoppedError, match=r"mend it, in the run's recipe\.yaml .* and resume; what was written is kept"):
        fedloom.run(chosen, out=tmp_path / "run")
    assert json.loads((tmp_path / "run" / "manifest.json").read_text())["status"] == "stopped"
    asked = len(server.asked)
    assert fedloom.resume(tmp_path / "run").status == "finished"
    assert len(server.asked) - asked == 6 - 2  # both owners have the same six texts


def test_a_preparation_that_is_interrupted_says_that_it_goes_on(tmp_path, monkeypatch):
    from fedloom.preparing import prepare

    monkeypatch.setenv("FEDLOOM_HOME", str(tmp_path / "home"))

    def interrupts(client, done, total, pace):
        raise KeyboardInterrupt

    with pytest.raises(InterruptedRunError, match="stopped; what was written is kept, and the same command goes on from it"):
        list(prepare(load_recipe("u2s_tiny"), interrupts))
