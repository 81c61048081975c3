"""Clusters of clients, and the baselines that are measured on each client's own rows."""

import json

import numpy as np
import pytest

import fedloom
from fedloom.clusters import ByField, ByText, _grouped
from fedloom.data.clients import ClientData
from fedloom.data.records import Conversation, Provenance, Turn
from fedloom.errors import RecipeError
from fedloom.federation.run_folder import RunFolder

OWN = ("local_own", "clustered", "finetuned")


def client(name, *texts, **fields):
    rows = [Conversation((Turn("user", text), Turn("assistant", "yes")), Provenance.PUBLIC, fields) for text in texts]
    return ClientData(name, rows, [])


def test_clients_of_one_commonest_value_belong_together():
    mixed = ClientData("c", [*client("", "x", language="fr").train, *client("", "y", "z", language="de").train], [])
    found = ByField(field="language").clusters([client("a", "x", language="fr"), client("b", "x", language="de"), mixed])
    assert found == {"a": "fr", "b": "de", "c": "de"}
    with pytest.raises(RecipeError, match="no row of client 'a' has a field 'tongue'"):
        ByField(field="tongue").clusters([client("a", "x")])


def test_clients_with_like_texts_belong_together():
    clients = [client("a", "the heart beats"), client("b", "shares and bonds"), client("c", "a beating heart beats"), client("d", "bonds")]
    assert ByText(count=2).clusters(clients) == {"a": "cluster-1", "b": "cluster-2", "c": "cluster-1", "d": "cluster-2"}
    assert len(set(ByText(count=4).clusters(clients).values())) == 4
    with pytest.raises(RecipeError, match=r"evaluate\.clusters\.count is 5, but there are 4 clients"):
        ByText(count=5).check(clients)


def test_clusters_are_joined_by_their_average_distance():
    """Degrees 0, 19, 40, 59.5 and 85: by the nearest pair the first four are a chain, since 25.5 to the last is the widest gap. On average
    the last is nearer to 40 and 59.5 (1 - cosine: 0.195) than 0 and 19 are (0.258)."""
    angles = np.radians([0, 19, 40, 59.5, 85])
    assert _grouped(np.stack([np.cos(angles), np.sin(angles)], axis=1), 2) == [0, 0, 1, 1, 1]


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    settings = {
        "rounds": 1,
        "task.steps": 2,
        "evaluate.samples": 0,
        "evaluate.finetune_steps": 2,
        "evaluate.baselines": ["local", "finetuned", "clustered"],
        "evaluate.clusters": {"kind": "by_field", "field": "owner"},
    }
    return fedloom.run("tiny", tmp_path_factory.mktemp("runs") / "run", **settings)


def measured(folder, label):
    events = RunFolder(folder).metrics()
    return {event["client"]: event["value"] for event in events if event["name"] == f"held_out/{label}/loss"}


def test_own_rows_are_measured_by_the_clients_own_model(run):
    for number, name in enumerate(("east", "north", "south", "west")):
        alone = measured(run.folder / "baselines" / f"local-{number}", "local")
        assert measured(run.folder, "local_own")[name] == alone[name]
        assert measured(run.folder, "finetuned")[name] == measured(run.folder / "baselines" / f"finetuned-{number}", "finetuned")[name]


def test_own_rows_of_all_clients_together_are_one_measure(run):
    for label in OWN:
        found = measured(run.folder, label)
        rows = {e["client"]: e["value"] for e in RunFolder(run.folder).metrics() if e["name"] == f"held_out/{label}/rows"}
        assert rows[None] == sum(value for name, value in rows.items() if name)
        assert run.metrics[f"{label}/loss"] == found[None]


def test_clusters_of_one_client_each_are_the_clients_alone(run):
    """Every owner is a cluster of its own here, so that a federation within it is the client alone, for as many rounds and steps."""
    assert measured(run.folder, "clustered") == pytest.approx(measured(run.folder, "local_own"))


def test_tuning_further_begins_at_the_joined_model(run):
    """What the joined model has learned of all clients is not lost: two more steps begin below where each client alone ends."""
    assert run.metrics["finetuned/loss"] < run.metrics["local_own/loss"]
    (first,) = {e["value"] for e in RunFolder(run.folder / "baselines" / "finetuned-0").metrics() if e["name"] == "round/replies"}
    assert first == 1


def test_clusters_and_the_baseline_belong_together(tmp_path):
    with pytest.raises(RecipeError, match=r"evaluate: clusters: belongs to the baseline clustered; set both, or neither"):
        fedloom.run("tiny", tmp_path, **{"evaluate.baselines": ["clustered"]})


def test_clusters_that_cannot_be_made_are_refused_before_training(tmp_path):
    clustered = {"evaluate.baselines": ["clustered"], "evaluate.clusters": {"kind": "by_field", "field": "tongue"}}
    with pytest.raises(RecipeError, match="no row of client 'east' has a field 'tongue'"):
        fedloom.run("tiny", tmp_path / "run", **clustered)
    assert not (tmp_path / "run" / "checkpoints").exists()


def test_the_report_names_them(run):
    page = (run.folder / "report.html").read_text()
    assert "federated, then tuned by each client, own rows" in page
    assert json.loads((run.folder / "manifest.json").read_text())["status"] == "finished"
