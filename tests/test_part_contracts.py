"""What registered parts give is checked where it is taken: a part that gives something else is named, with what it should give."""

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import pytest
from local_runs import opened

import fedloom
from fedloom import tasks
from fedloom.data.readers import readers
from fedloom.data.records import Conversation, Provenance, Turn
from fedloom.data.rows import Row, SourceRows
from fedloom.data.sources import forms, load_records
from fedloom.errors import FedloomError, PartError
from fedloom.federation.observer import Observer
from fedloom.hooks import Finished, FinishStep, Prepared, PrepareStep, Probe, finish_steps, prepare_steps, probes
from fedloom.measures import Measure
from fedloom.recipe import DataRecipe
from fedloom.resolve import load_recipe
from fedloom.state import State

SHORT = {"evaluate.baselines": [], "evaluate.every": 0, "evaluate.samples": 0, "rounds": 1, "task.steps": 1}
NAMES = "should map short names (small letters, digits and _ / . -) to numbers of rows"


@prepare_steps.register("prepares-what-it-is-given")
@dataclass
class Prepares(PrepareStep):
    """Gives `what(context)`."""

    what: ClassVar[Any] = None

    def apply(self, context):
        return type(self).what(context)


@prepare_steps.register("exchanges-what-it-is-given")
@dataclass
class Exchanges(PrepareStep):
    """Counts `up`, plans `down`."""

    exchanges: ClassVar[bool] = True
    up: ClassVar[Any] = None
    down: ClassVar[Any] = None
    told: ClassVar[list[Any]] = []

    def counts(self, context):
        return self.up

    def plan(self, counts):
        return type(self).down(counts)

    def apply(self, context):
        self.told.append(dict(context.told))
        return Prepared(context.records)


@finish_steps.register("finishes-what-it-is-given")
@dataclass
class Finishes(FinishStep):
    """Gives `what(state)`."""

    measures: ClassVar[tuple[Measure, ...]] = (Measure("norm", "its length", better="neither"),)
    what: ClassVar[Any] = None

    def apply(self, state, server):
        return type(self).what(state)


@probes.register("measures-what-it-is-given")
@dataclass
class Measures(Probe):
    """Gives `what`."""

    what: ClassVar[Any] = None

    def measures(self):
        return [Measure("length", "its length")]

    def measure(self, state, server):
        return self.what


@tasks.register("sums-of-ones-own")
@dataclass(frozen=True)
class OwnSums(tasks.SFT):
    """Gives `sums` and `found`."""

    sums: ClassVar[Any] = None
    found: ClassVar[Any] = None

    def evaluate(self, model, rows, groups, batch_size):
        return super().evaluate(model, rows, groups, batch_size) if self.sums is None else self.sums

    def values(self, sums):
        return super().values(sums) if self.found is None else self.found


def run(folder, observer=None, **overrides):
    return fedloom.run("tiny", folder, observer, **(SHORT | overrides))


@pytest.mark.parametrize(
    ("what", "said"),
    [
        (lambda context: None, "should be a Prepared, not a NoneType"),
        (lambda context: context.records, "should be a Prepared, not a "),
        (lambda context: Prepared(None), "Prepared.records should be a Sequence, not a NoneType"),
        (lambda context: Prepared(["a secret"]), "every one of Prepared.records should be a Record, not a str"),
        (lambda context: Prepared(context.records, ["a secret"]), "Prepared.left_out should be a Mapping, not a list"),
        (lambda context: Prepared(context.records, {"a secret text": 1}), f"Prepared.left_out {NAMES}"),
        (lambda context: Prepared(context.records, {"short": -1}), f"Prepared.left_out {NAMES}"),
        (lambda context: Prepared(context.records, {"short": "a secret"}), f"Prepared.left_out {NAMES}"),
        (lambda context: Prepared(context.records, {"short": True}), f"Prepared.left_out {NAMES}"),
        (lambda context: Prepared(context.records, generated=10**6), "Prepared.generated counts its last records"),
        (lambda context: Prepared(context.records, generated=1, order="a secret"), "Prepared.order is mix or generated_then_private or"),
        (lambda context: Prepared(context.records, pictures=["a secret"]), "every one of Prepared.pictures should be a Picture, not a str"),
    ],
)
def test_a_prepare_step_gives_records_and_counted_reasons(tmp_path, monkeypatch, what, said):
    monkeypatch.setattr(Prepares, "what", what)
    with pytest.raises(FedloomError) as caught:
        run(tmp_path / "run", prepare=[{"kind": "prepares-what-it-is-given"}])
    assert "client 'east': prepare.0: prepares-what-it-is-given.apply" in str(caught.value)
    assert said in str(caught.value)
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize("name", ["rows", "rejected"])
def test_a_finish_step_hands_out_no_private_row(tmp_path, monkeypatch, name):
    private = Conversation((Turn("user", "a secret"),), Provenance.PRIVATE)
    monkeypatch.setattr(Finishes, "what", lambda state: Finished(state, **{name: [private]}))
    with pytest.raises(FedloomError, match="gave a private row to hand out, which may not leave its client"):
        run(tmp_path / "run", finish=[{"kind": "finishes-what-it-is-given"}])
    assert not list((tmp_path / "run").glob("*ed.jsonl"))


def test_numbers_of_numpy_are_numbers(tmp_path, monkeypatch):
    monkeypatch.setattr(Prepares, "what", lambda context: Prepared(context.records, {"short": np.int64(2)}))
    monkeypatch.setattr(Exchanges, "up", {"rows": np.int64(3), "share": np.float32(0.5)})
    monkeypatch.setattr(Exchanges, "down", lambda counts: {client: {"rows": np.int64(own["rows"])} for client, own in counts.items()})
    monkeypatch.setattr(Exchanges, "told", [])
    steps = [{"kind": "prepares-what-it-is-given"}, {"kind": "exchanges-what-it-is-given"}]
    with opened(load_recipe("tiny", {"prepare": steps}), tmp_path) as (_, _, found):
        assert found.kept["public"]["short"] == 8
    assert Exchanges.told == [{"rows": 3.0}] * 4


@pytest.mark.parametrize(
    ("up", "said"),
    [
        (None, "counts: its result should be a Mapping, not a NoneType"),
        ([1, 2], "counts: its result should be a Mapping, not a list"),
        ({"rows": "a secret"}, "counts: its result should map texts to numbers, not a str to a str"),
        ({"rows": True}, "counts: its result should map texts to numbers, not a str to a bool"),
        ({1: 2}, "counts: its result should map texts to numbers, not a int to a int"),
    ],
)
def test_a_step_counts_numbers_by_names(tmp_path, monkeypatch, up, said):
    monkeypatch.setattr(Exchanges, "up", up)
    with pytest.raises(FedloomError) as caught:
        run(tmp_path / "run", prepare=[{"kind": "exchanges-what-it-is-given"}])
    assert str(caught.value) == f"client 'east': prepare.0: exchanges-what-it-is-given.{said}"


@pytest.mark.parametrize(
    ("down", "said"),
    [
        (lambda counts: None, ": its result should be a Mapping, not a NoneType"),
        (lambda counts: {}, " should give numbers for every client, and for no other"),
        (lambda counts: {"east": {}}, " should give numbers for every client, and for no other"),
        (lambda counts: {client: {} for client in [*counts, "nobody"]}, " should give numbers for every client, and for no other"),
        (lambda counts: dict.fromkeys(counts), ": every value of its result should be a Mapping, not a NoneType"),
        (
            lambda counts: {client: {"rows": "many"} for client in counts},
            ": every value of its result should map texts to numbers, not a str to a str",
        ),
    ],
)
def test_a_plan_has_numbers_for_every_client(tmp_path, monkeypatch, down, said):
    monkeypatch.setattr(Exchanges, "up", {"rows": 1})
    monkeypatch.setattr(Exchanges, "down", down)
    with pytest.raises(PartError) as caught:
        run(tmp_path / "run", prepare=[{"kind": "exchanges-what-it-is-given"}])
    assert str(caught.value) == f"prepare.0: exchanges-what-it-is-given.plan{said}"


@pytest.mark.parametrize(
    ("what", "said"),
    [
        (lambda state: None, "should be a Finished, not a NoneType"),
        (lambda state: state, "should be a Finished, not a State"),
        (lambda state: Finished(None), "Finished.state should be a State, not a NoneType"),
        (lambda state: Finished(State.of({"w": state.flat})), "should give a state with the tensors that it got; tensor '"),
        (lambda state: Finished(state * float("nan")), "gave a state with values that are not finite"),
        (lambda state: Finished(state, {"other": 1.0}), "measured 'other', which its `measures` do not declare"),
        (lambda state: Finished(state, {"norm": float("inf")}), "measured 'norm', and the value is not finite"),
        (lambda state: Finished(state, {"norm": "long"}), "should map texts to numbers, not a str to a str"),
    ],
)
def test_a_finish_step_gives_a_state_like_the_one_it_got(tmp_path, monkeypatch, what, said):
    monkeypatch.setattr(Finishes, "what", what)
    with pytest.raises(FedloomError) as caught:
        run(tmp_path / "run", finish=[{"kind": "finishes-what-it-is-given"}])
    assert str(caught.value).startswith("finish.0: finishes-what-it-is-given.apply")
    assert said in str(caught.value)
    assert "(the model without this step is in " in str(caught.value)
    assert (tmp_path / "run" / "adapter" / "adapter_model.safetensors").exists()


@pytest.mark.parametrize(
    ("what", "said"),
    [
        (None, ": its result should be a Mapping, not a NoneType"),
        ({"length": "long"}, ": its result should map texts to numbers, not a str to a str"),
        ({"nope": 1.0}, " gave 'nope', which its `measures` do not declare"),
    ],
)
def test_a_probe_gives_the_measures_that_it_declares(tmp_path, monkeypatch, what, said):
    monkeypatch.setattr(Measures, "what", what)
    with pytest.raises(PartError) as caught:
        run(tmp_path / "run", **{"evaluate.probes": [{"kind": "measures-what-it-is-given"}]})
    assert str(caught.value) == f"Measures.measure{said}"


def test_a_probes_value_that_is_not_finite_is_left_out_and_told(tmp_path, monkeypatch):
    monkeypatch.setattr(Measures, "what", {"length": float("nan")})
    told = []

    class Listener(Observer):
        def note(self, text):
            told.append(text)

    done = run(tmp_path / "run", Listener(), **{"evaluate.probes": [{"kind": "measures-what-it-is-given"}], "evaluate.every": 1})
    assert told[0] == "the probe's measure 'length' is not finite, and is left out"
    assert not [name for name in done.metrics if "length" in name]


def test_sums_and_values_of_a_task_are_the_declared_ones(tmp_path, monkeypatch):
    measured = {"task.kind": "sums-of-ones-own", "evaluate.every": 1, "evaluate.baselines": ["base"]}
    for sums in ({"loss_sum": 1.0}, None):
        monkeypatch.setattr(OwnSums, "sums", sums)
        monkeypatch.setattr(OwnSums, "found", {"extra": 0.5})
        with pytest.raises(FedloomError) as caught:
            run(tmp_path / str(sums), **measured)
        expected = (
            "no client can be measured; client 'west': sums-of-ones-own.evaluate should give the sums loss, terms, exact, rows"
            if sums
            else "sums-of-ones-own.values gave 'extra', which its `measures` do not declare"
        )
        assert str(caught.value) == expected


def test_a_run_of_which_nothing_could_be_measured_after_training_tells_so(tmp_path, monkeypatch):
    monkeypatch.setattr(OwnSums, "sums", {"loss_sum": 1.0})
    told = []

    class Listener(Observer):
        def note(self, text):
            told.append(text)

    run(tmp_path / "run", Listener(), **{"task.kind": "sums-of-ones-own", "evaluate.every": 1})
    assert told[0].startswith("no client could be measured after round 1; client 'west': sums-of-ones-own.evaluate should give")


def test_a_form_may_give_plain_rows_and_nothing_that_is_none():
    given = {"plain": [{"question": "a?", "answer": "b"}] * 3, "number": 5, "texts": ["a secret"], "rows": SourceRows(["a secret"], "here")}
    forms.register("gives-of-a-test")(lambda rest: given[rest])
    assert len(load_records(DataRecipe(source="gives-of-a-test:plain"), 7).records) == 3
    for name in ("number", "texts", "rows"):
        with pytest.raises(FedloomError, match=f"gives-of-a-test:{name}.*should ") as caught:
            load_records(DataRecipe(source=f"gives-of-a-test:{name}"), 7)
        assert "secret" not in str(caught.value)


@readers.register("note-of-a-test")
def read_notes(rows, fields, provenance):
    return read_notes.records


@forms.register("notes-of-a-test")
def notes(rest):
    """Two notes."""
    return SourceRows([Row({"a": "secret"}, "row 1"), Row({"a": "secret"}, "row 2")], "here", reads="note-of-a-test")


@pytest.mark.parametrize(
    ("records", "said"),
    [
        (None, "the reader 'note-of-a-test': its result should be a Sequence, not a NoneType"),
        (["a secret"], "the reader 'note-of-a-test': every item of its result should be a Record, not a str"),
        ([], "the reader 'note-of-a-test' should give a record for every row; it gave 0 for 2"),
    ],
)
def test_a_reader_gives_a_record_for_every_row(records, said):
    read_notes.records = records
    with pytest.raises(PartError) as caught:
        load_records(DataRecipe(source="notes-of-a-test:x"), 7)
    assert str(caught.value) == said
