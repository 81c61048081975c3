"""A site: what it answers, what it refuses, and what it writes down."""

import json
from dataclasses import dataclass
from typing import Annotated

import pytest
import torch
from pydantic import Field

from fedloom.agreed import agree
from fedloom.data.records import Conversation, Provenance, Turn
from fedloom.errors import DataError, DiskError, MissingExtraError, ModelError, PrivateDataError, RecipeError
from fedloom.federation.audit import AuditLog
from fedloom.federation.bodies import MOST_SAMPLES, Failure, Holding, Kept, Sample, Samples, Terms
from fedloom.federation.messages import Envelope, Expected, Message, decode, encode, peek
from fedloom.federation.site import FILES_AT_FAULT, LONGEST_ANSWER, Site, SiteData
from fedloom.files import read_lines
from fedloom.hash_chain import verify
from fedloom.hooks import PrepareStep, prepare_steps
from fedloom.local_run import bench_plan
from fedloom.models.bench import make_bench
from fedloom.registry import PLACE
from fedloom.resolve import load_recipe
from fedloom.state import State

RUN = "ab" * 16
PICTURES = {"kind": "classify_pictures", "labels": ["a", "b"]}


@prepare_steps.register("names-a-file")
@dataclass
class NamesAFile(PrepareStep):
    """A step with a file."""

    words: Annotated[str, Field(json_schema_extra=PLACE, description="file")] = ""


def record(number, provenance=Provenance.PUBLIC):
    return Conversation((Turn("user", f"question {number}?"), Turn("assistant", f"answer {number}")), provenance)


@pytest.fixture(scope="module")
def bench():
    return make_bench(bench_plan(load_recipe("tiny")))


@pytest.fixture
def recipe():
    return load_recipe("tiny", {"task.batch_size": 2, "task.steps": 1})


class Owner:
    """A site and its server, who have agreed on a recipe."""

    def __init__(self, folder, bench, recipe, provenance=Provenance.PUBLIC):
        self.bench, self.agreed = bench, agree(recipe, bench, 1)
        train = [record(number, provenance) for number in range(6)]
        held_out = [record(number, provenance) for number in (7, 8)]
        self.data = SiteData(train, held_out, Holding({"train": 6, "held_out": 2}), bench.parameters.state())
        self.site = Site("clinic", folder, bench, lambda: self.data)
        self.envelope = Envelope(RUN, "", self.agreed.sha256)
        self.folder = folder

    def ask(self, kind, number=0, sections=None, report=None, body=None, envelope=None):
        """The reply as a message; it may be of any kind."""
        sent = encode(Message(kind, number, "clinic", sections or {}, report or {}, envelope or self.envelope, body))
        reply = self.site.answer(sent)
        kind, number, found = peek(reply)
        return decode(reply, Expected(kind, number, "clinic", found))

    def open(self):
        self.ask("join", body=Terms(self.agreed.content))
        self.ask("prepare")
        return self


@pytest.fixture
def owner(tmp_path, bench, recipe):
    return Owner(tmp_path / "clinic", bench, recipe)


def reason(message):
    assert message.kind == "failed"
    assert isinstance(message.body, Failure)
    return message.body.reason


def test_a_site_that_joins_says_what_it_holds(owner):
    joined = owner.ask("join", body=Terms(owner.agreed.content))
    assert (joined.kind, joined.body) == ("joined", Holding({"train": 6, "held_out": 2}))


def test_a_site_prepares_trains_measures_and_samples(owner, bench):
    owner.open()
    start = bench.parameters.state()
    update = owner.ask("train", 1, {"state": start}, {"learning_rate": 1e-2, "deadline": 60.0})
    assert (update.kind, update.round, update.report["examples"], update.report["steps"]) == ("update", 1, 6, 1)
    assert update.sections["update"].norm() > 0
    measures = owner.ask("evaluate", 1, {"state": start})
    assert set(measures.report) == {"loss", "terms", "exact", "rows"}
    assert measures.report["rows"] == 2
    answered = owner.ask("sample", 1, {"before": start, "after": start}, {"count": 1, "max_new_tokens": 2})
    (sample,) = answered.body.items
    assert (sample.prompt, sample.reference) == ("question 7?", "answer 7")
    assert sample.before == sample.after
    assert [entry["event"] for entry in read_lines(owner.folder / "audit.jsonl")] == ["join", "prepare", "train", "evaluate", "sample"]
    assert verify(owner.folder / "audit.jsonl").entries == 5


def test_a_site_measures_the_state_that_it_is_sent(owner, bench):
    owner.open()
    start = bench.parameters.state()
    moved = State(start.layout, start.flat + 0.05 * torch.randn(start.layout.numel, generator=torch.Generator().manual_seed(1)))
    losses = [owner.ask("evaluate", 1, {"state": state}).report["loss"] for state in (start, moved, start)]
    assert losses[0] == losses[2] != losses[1]


@pytest.mark.parametrize("kind", ["update", "measures", "checkpoint", "rows", "exec", ""])
def test_a_message_of_any_other_kind_is_refused_and_trains_nothing(owner, bench, kind):
    owner.open()
    before = bench.parameters.state()
    said = reason(owner.ask(kind, 1, {"state": before}, {"learning_rate": 1e-2}))
    assert said == "a site answers to join, prepare, train, evaluate, sample, and this message is of another kind"
    assert bench.parameters.state().equals(before)
    assert read_lines(owner.folder / "audit.jsonl")[-1]["event"] == "refused"


def test_bytes_that_are_no_message_are_answered_with_the_reason(owner):
    kind, _, envelope = peek(reply := owner.site.answer(b"junk"))
    assert (kind, envelope) == ("failed", Envelope())
    assert reason(decode(reply, Expected("failed", 0, "clinic"))) == "it is not a message of this program or of another version"


def test_work_for_another_client_is_refused(owner):
    owner.open()
    sent = encode(Message("evaluate", 1, "bank", {"state": owner.bench.parameters.state()}, {}, owner.envelope))
    kind, number, envelope = peek(reply := owner.site.answer(sent))
    assert "client is 'bank', expected 'clinic'" in reason(decode(reply, Expected(kind, number, "clinic", envelope)))


def test_work_before_joining_and_before_preparing_is_refused(owner):
    state = {"state": owner.bench.parameters.state()}
    assert reason(owner.ask("evaluate", 1, state)) == "this site has not joined the federation that it belongs to"
    owner.ask("join", body=Terms(owner.agreed.content))
    assert reason(owner.ask("evaluate", 1, state)) == "this site has not prepared its rows for the federation that it belongs to"


def test_work_under_other_terms_than_were_joined_is_refused(owner):
    owner.open()
    other = Envelope(RUN, "", "cd" * 32)
    said = reason(owner.ask("evaluate", 1, {"state": owner.bench.parameters.state()}, envelope=other))
    assert said == "its sender has agreed on other terms than this site"


def test_terms_that_were_changed_on_the_way_are_refused(owner):
    changed = {**owner.agreed.content, "seed": 8}
    assert reason(owner.ask("join", body=Terms(changed))) == "its terms do not have the hash that its header gives"
    assert reason(owner.ask("join")) == "it holds no terms"


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"version": 99}, "its terms have version 99, this program reads 1"),
        ({"task": {"kind": "sftt"}}, "its terms cannot be met here: unknown task 'sftt'; did you mean 'sft'?"),
        ({"model": {"sha256": "00"}}, "this site's model differs in sha256"),
        ({"model": {"dtype": "float16"}}, 'this site\'s model differs in dtype: it has "float32", the terms say "float16"'),
        ({"model": {"adapter": None}}, "this site's model differs in adapter"),
        ({"data": {"template": "alpaca"}}, 'this site\'s encoding of rows differs in template: it has "chat", the terms say "alpaca"'),
        ({"data": {"max_length": 8}}, "this site's encoding of rows differs in max_length: it has 96, the terms say 8"),
        ({"task": PICTURES}, "this site's model is no picture_net, which the task of the terms trains"),
        ({"codec": "zip"}, "its terms cannot be met here: codec: unknown codec 'zip'"),
        ({"prepare": [{"kind": "names-a-file", "words": "/etc/passwd"}]}, "prepare.0.words: terms name a file by its hash"),
    ],
)
def test_terms_that_a_site_cannot_meet_are_refused_with_the_reason(owner, change, said):
    content = json.loads(json.dumps(owner.agreed.content))
    for key, value in change.items():
        content[key] = content[key] | value if isinstance(value, dict) and "kind" not in value else value
    owner.agreed = type(owner.agreed)(content)
    owner.envelope = Envelope(RUN, "", owner.agreed.sha256)
    assert said in reason(owner.ask("join", body=Terms(content)))


def test_a_site_tells_a_round_of_a_baseline_from_a_round_of_the_run(owner, bench):
    scaffold = agree(load_recipe("tiny", {"task.batch_size": 2, "task.steps": 1, "algorithm.name": "scaffold"}), bench, 1)
    owner.agreed, owner.envelope = scaffold, Envelope(RUN, "", scaffold.sha256)
    owner.open()
    baseline = Envelope(RUN, "local-0", scaffold.sha256)
    for kind, body in (("join", Terms(scaffold.content)), ("prepare", None)):
        assert owner.ask(kind, body=body, envelope=baseline).kind != "failed"
    start = bench.parameters.state()
    for envelope in (owner.envelope, baseline):
        sections = {"state": start, "control": start.zeros()}
        assert owner.ask("train", 1, sections, {"learning_rate": 1e-2}, envelope=envelope).kind == "update"
    kept = sorted(path.parent.name for path in owner.folder.rglob("*.memory"))
    assert kept == [f".own-{RUN}", f"local-0-{RUN}"]


def test_two_runs_whose_ids_begin_alike_share_nothing(owner):
    other = Envelope(RUN[:-1] + "c", "", owner.agreed.sha256)
    assert owner.ask("join", body=Terms(owner.agreed.content)).kind == "joined"
    assert reason(owner.ask("prepare", envelope=other)) == "this site has not joined the federation that it belongs to"


def test_rows_that_were_prepared_under_other_terms_are_not_trained_on(owner, recipe, bench):
    owner.open()
    owner.agreed = agree(recipe.model_copy(update={"seed": 8}), bench, 1)
    owner.envelope = Envelope(RUN, "", owner.agreed.sha256)
    owner.ask("join", body=Terms(owner.agreed.content))
    state = {"state": bench.parameters.state()}
    assert reason(owner.ask("evaluate", 1, state)) == "this site has prepared its rows under other terms"


def test_a_round_before_the_first_is_refused(owner, bench):
    owner.open()
    said = reason(owner.ask("train", 0, {"state": bench.parameters.state()}, {"learning_rate": 1e-2}))
    assert said == "its round is 0; the first one is 1"


def test_an_update_that_is_not_finite_is_not_sent(owner, bench, monkeypatch):
    owner.open()
    monkeypatch.setattr(type(bench.parameters), "state", lambda parameters: State(parameters.layout, parameters.weights * float("nan")))
    said = reason(
        owner.ask("train", 1, {"state": State(bench.parameters.layout, bench.parameters.weights.clone())}, {"learning_rate": 1e-2})
    )
    assert said == "the update of this client is not finite after its training; lower task.learning_rate"


def test_an_error_inside_a_site_names_its_kind_and_place_and_no_text(owner, monkeypatch):
    owner.open()

    def broken(*_):
        raise ValueError("a secret")

    monkeypatch.setattr(type(owner.agreed.task), "evaluate", broken)
    failed = owner.ask("evaluate", 1, {"state": owner.bench.parameters.state()})
    assert reason(failed).startswith("ValueError at test_site.py:")
    assert failed.report == {"exit_code": 1}
    assert "secret" not in (owner.folder / "audit.jsonl").read_text()


def test_a_server_that_is_not_trusted_does_not_learn_what_is_wrong_with_the_owners_files(tmp_path, bench, recipe):
    def broken():
        raise DataError("/srv/clinic/patients.jsonl:7: 'Anna' is no number")

    said = {}
    for trusted in (False, True):
        owner = Owner(tmp_path / str(trusted), bench, recipe)
        owner.site = Site("clinic", owner.folder, bench, broken, trusted=trusted)
        said[trusted] = reason(owner.ask("join", body=Terms(owner.agreed.content)))
        assert "patients.jsonl:7" in (owner.folder / "audit.jsonl").read_text()
    assert said == {False: FILES_AT_FAULT, True: "/srv/clinic/patients.jsonl:7: 'Anna' is no number"}


@pytest.mark.parametrize("kind", [DataError, DiskError, ModelError, RecipeError, lambda path: MissingExtraError(path, "data", "a step")])
def test_an_error_that_may_name_a_file_stays_with_its_site(tmp_path, bench, recipe, kind):
    def broken():
        raise kind("/srv/clinic/patients")

    owner = Owner(tmp_path / "clinic", bench, recipe)
    owner.site = Site("clinic", owner.folder, bench, broken)
    assert reason(owner.ask("join", body=Terms(owner.agreed.content))) == FILES_AT_FAULT


def test_a_site_whose_audit_log_cannot_be_written_still_answers(owner, monkeypatch):
    owner.open()

    def full(*_, **__):
        raise DiskError("/srv/clinic/audit.jsonl: the disk is full; free some space, then resume the run")

    monkeypatch.setattr(AuditLog, "enter", full)
    said = reason(owner.ask("evaluate", 1, {"state": owner.bench.parameters.state()}))
    assert said == f"{FILES_AT_FAULT}; the audit log of this site cannot be written (DiskError)"


@pytest.mark.parametrize(
    ("kind", "sections", "report", "said"),
    [
        ("evaluate", (), {}, "message of client 'clinic' refused: it has no section 'state'"),
        ("train", (), {"learning_rate": 1e-2}, "message of client 'clinic' refused: it has no section 'state'"),
        ("train", ("state",), {}, "message of client 'clinic' refused: its report has no valid 'learning_rate'"),
        ("sample", ("before",), {"count": 1, "max_new_tokens": 2}, "message of client 'clinic' refused: it has no section 'after'"),
        ("sample", (), {"max_new_tokens": 2}, "message of client 'clinic' refused: its report has no valid 'count'"),
        ("sample", (), {"count": 0, "max_new_tokens": 2}, "message of client 'clinic' refused: its report has no valid 'count'"),
        ("sample", (), {"count": MOST_SAMPLES + 1, "max_new_tokens": 2}, "its report has no valid 'count'"),
        ("sample", (), {"count": 1, "max_new_tokens": 4097}, "its report has no valid 'max_new_tokens'"),
    ],
)
def test_work_with_a_part_missing_or_out_of_bounds_is_refused(owner, kind, sections, report, said):
    owner.open()
    state = owner.bench.parameters.state()
    assert said in reason(owner.ask(kind, 1, dict.fromkeys(sections, state), report))
    assert read_lines(owner.folder / "audit.jsonl")[-1]["event"] == "refused"


def test_a_recipe_may_not_ask_for_more_samples_than_a_site_gives():
    most = {"evaluate.samples": MOST_SAMPLES, "evaluate.max_new_tokens": LONGEST_ANSWER}
    load_recipe("tiny", most)
    for key, value in most.items():
        with pytest.raises(RecipeError, match=f"{key}.*less than or equal to {value}"):
            load_recipe("tiny", {key: value + 1})


def test_rows_are_not_sampled_by_a_process_that_has_not_prepared_them(owner, bench):
    owner.open()
    other = Site("clinic", owner.folder, bench)
    start = bench.parameters.state()
    report = {"count": 1, "max_new_tokens": 2}
    sent = encode(Message("sample", 1, "clinic", {"before": start, "after": start}, report, owner.envelope))
    kind, number, envelope = peek(reply := other.answer(sent))
    said = reason(decode(reply, Expected(kind, number, "clinic", envelope)))
    assert said == "this process of the site has not prepared the rows that it is asked to answer"


@pytest.mark.parametrize("provenance", [one for one in Provenance if one is not Provenance.PUBLIC])
def test_only_public_rows_are_sampled(tmp_path, bench, recipe, provenance):
    owner = Owner(tmp_path / "clinic", bench, recipe, provenance).open()
    start = bench.parameters.state()
    assert owner.ask("sample", 1, {"before": start, "after": start}, {"count": 2, "max_new_tokens": 2}).body.items == ()
    with pytest.raises(PrivateDataError, match=f"a sample of a {provenance} row"):
        Samples.of([Sample("", "question", "answer", "", "")], [record(1, provenance)])


def test_a_body_belongs_to_its_kind_of_message():
    for kind, body in (("update", Terms({})), ("joined", Failure("no")), ("samples", Kept({})), ("join", Samples(()))):
        with pytest.raises(PrivateDataError, match="which may not hold one"):
            Message(kind, 0, "clinic", body=body)


def test_a_site_without_records_trains_what_another_process_has_prepared(owner, bench):
    owner.open()
    other = Site("clinic", owner.folder, bench)
    sent = encode(Message("evaluate", 1, "clinic", {"state": bench.parameters.state()}, {}, owner.envelope))
    assert peek(other.answer(sent))[0] == "measures"
    joining = encode(Message("join", 0, "clinic", {}, {}, owner.envelope, Terms(owner.agreed.content)))
    kind, number, envelope = peek(reply := other.answer(joining))
    assert "its records are with another" in reason(decode(reply, Expected(kind, number, "clinic", envelope)))


def test_a_reply_of_a_site_is_the_same_bytes_in_every_process(owner, bench, tmp_path, recipe):
    owner.open()
    twin = Owner(tmp_path / "twin", bench, recipe).open()
    sent = encode(Message("evaluate", 1, "clinic", {"state": State.of(dict(bench.parameters.state()))}, {}, owner.envelope))
    assert owner.site.answer(sent) == twin.site.answer(sent)
    assert torch.isfinite(bench.parameters.weights).all()


def test_a_site_writes_nowhere_but_into_its_own_folder_whatever_a_federation_is_called(owner, tmp_path):
    outside = Envelope(RUN, "../../outside", owner.agreed.sha256)
    assert "its federation has the name '../../outside'" in reason(owner.ask("join", body=Terms(owner.agreed.content), envelope=outside))
    assert {path.name for path in tmp_path.iterdir()} == {"clinic"}
    assert not (tmp_path.parent / f"outside-{RUN}").exists()
