"""Look-alikes: the shapes of the published table, in seconds, out of templates."""

import hashlib
import json
from collections import defaultdict

import pytest

from fedloom.bench.look_alikes import client_sizes, sample
from fedloom.bench.published import AYA_SIZES, MULTI_TURN, PUBLISHED
from fedloom.bench.sheet import sheet_path
from fedloom.data.records import Provenance
from fedloom.data.sources import load_records
from fedloom.errors import RecipeError
from fedloom.recipe import DataRecipe


@pytest.mark.parametrize("name", ["fed-aya", "fed-chatbot-it", "fed-chatbot-pa"])
def test_a_look_alike_has_the_clients_the_rows_and_the_lengths_of_the_table(tmp_path, name):
    published = PUBLISHED[name]
    sheet = sample(name, tmp_path / "a.json")
    clients = json.loads((tmp_path / "a.json").read_text())
    assert len(clients) == sheet.clients == published.clients
    assert sum(map(len, clients.values())) == sheet.rows == published.rows
    assert sheet.rows_per_client["sd"] == pytest.approx(published.rows_deviation, rel=0.01)
    for found, wanted in ((sheet.instruction_length, published.instruction), (sheet.response_length, published.response)):
        assert found["mean"] == pytest.approx(wanted.mean, rel=0.01)
        assert found["sd"] == pytest.approx(wanted.deviation, rel=0.01)
    assert sheet.languages.keys() == published.languages.keys()


def test_fed_ayas_clients_have_their_published_sizes(tmp_path):
    sample("fed-aya", tmp_path / "a.json", scale=0.01)
    clients = json.loads((tmp_path / "a.json").read_text())
    assert [len(rows) for rows in clients.values()] == [max(2, round(size / 100)) for size in AYA_SIZES]
    assert client_sizes(PUBLISHED["fed-aya"], seed=1) == list(AYA_SIZES)
    assert sum(AYA_SIZES) == 25_513


@pytest.mark.parametrize("published", [*PUBLISHED.values(), *MULTI_TURN.values()])
@pytest.mark.parametrize("seed", [1, 7])
def test_drawn_sizes_have_the_published_sum_and_spread(published, seed):
    sizes = client_sizes(published, seed)
    assert (len(sizes), sum(sizes)) == (published.clients, published.rows)
    assert min(sizes) >= published.least_rows
    mean = published.rows / published.clients
    assert (sum((size - mean) ** 2 for size in sizes) / len(sizes)) ** 0.5 == pytest.approx(published.rows_deviation, rel=0.02)


def test_several_turns_are_written_as_share_gpt_does(tmp_path):
    sheet = sample("fed-wildchat", tmp_path / "a.json", scale=0.02, multi_turn=True)
    assert sheet.clients == 50
    rows = [row for rows in json.loads((tmp_path / "a.json").read_text()).values() for row in rows]
    for row in rows:
        speakers = [turn["from"] for turn in row["conversations"]]
        assert speakers == ["human", "gpt"] * (len(speakers) // 2)
        assert 4 <= len(speakers) <= 10
    assert {len(row["conversations"]) for row in rows} == {4, 6, 8, 10}
    assert sheet.response_length["mean"] == pytest.approx(506, rel=0.02)


def test_the_same_seed_gives_the_same_bytes_and_another_one_others(tmp_path):
    hashes = [
        hashlib.sha256((sample("fed-chatbot-it", tmp_path / f"{n}.json", seed=seed, scale=0.1), tmp_path / f"{n}.json")[1].read_bytes())
        for n, seed in enumerate([3, 3, 4])
    ]
    assert hashes[0].digest() == hashes[1].digest() != hashes[2].digest()


def test_a_question_has_one_right_answer_which_the_rejected_one_is_not(tmp_path):
    sample("fed-chatbot-pa", tmp_path / "a.json", scale=0.1)
    begun = defaultdict(set)
    for rows in json.loads((tmp_path / "a.json").read_text()).values():
        for row in rows:
            question = row["prompt"].partition("?")[0]
            begun[question].add(row["chosen"].partition(".")[0])
            assert not row["rejected"].startswith(row["chosen"].partition(".")[0] + ".")
    assert len(begun) == 40
    assert all(len(answers) == 1 for answers in begun.values())


def test_a_look_alike_says_so_in_its_clients_its_sheet_and_to_whoever_trains_on_it(tmp_path):
    path = tmp_path / "a.json"
    sheet = sample("fed-aya", path, scale=0.01)
    assert all(client.startswith("look-alike-") for client in json.loads(path.read_text()))
    assert json.loads(sheet_path(path).read_text())["look_alike"] is True
    loaded = load_records(DataRecipe(source=f"fed-aya:{path}"), 7)
    assert loaded.notes == ("rows of a look-alike of fed-aya, made of templates: no result on them is one of FedLLM-Bench",)
    assert loaded.licences == {"fed-aya, look-alike": sheet.licence}
    assert loaded.records.unread == ()
    assert loaded.records[0].provenance is Provenance.PRIVATE
    assert loaded.records[0].fields.keys() == {"client", "language"}


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"name": "fed-ayah"}, "unknown federation 'fed-ayah'; did you mean 'fed-aya'"),
        ({"scale": 0.0}, "--scale: should be above 0 and at most 1, got 0"),
        ({"multi_turn": True}, "--multi-turn: belongs to fed-wildchat; fed-aya has single turns"),
        ({"out": "a.txt"}, "should end in .json"),
    ],
)
def test_what_cannot_be_made_is_said_in_one_line(tmp_path, arguments, said):
    with pytest.raises(RecipeError, match=said):
        sample(**{"name": "fed-aya"} | arguments | {"out": tmp_path / arguments.get("out", "a.json")})
    assert not any(tmp_path.iterdir())
