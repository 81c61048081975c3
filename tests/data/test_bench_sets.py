"""FedLLM-Bench's federations as sources: their columns, their users, and one line for whatever is none of them."""

import json

import pytest

from fedloom.data.bench_sets import BENCH_SETS
from fedloom.data.clients import build_clients
from fedloom.data.sources import all_files, load_records
from fedloom.errors import DataError
from fedloom.recipe import DataRecipe

SINGLE = {"instruction": "Name a color.", "response": "Red"}
PAIR = {"prompt": "Name a color.", "chosen": "Red", "rejected": "Dog"}
TURNS = [("human", "Name a color."), ("gpt", "Red"), ("human", "Another?"), ("gpt", "Blue")]


def share_gpt(*turns):
    return {"conversations": [{"from": speaker, "value": text} for speaker, text in turns or TURNS]}


def write(path, content):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content))
    return path


def load(name, place):
    return load_records(DataRecipe(source=f"{name}:{place}"), 7)


def error(name, place):
    with pytest.raises(DataError) as caught:
        load(name, place)
    assert "\n" not in str(caught.value)
    assert "secret" not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize(
    ("name", "row"),
    [("fed-aya", SINGLE), ("fed-chatbot-it", SINGLE), ("fed-wildchat", SINGLE), ("fed-wildchat", share_gpt()), ("fed-chatbot-pa", PAIR)],
)
def test_each_federation_is_read_with_a_client_for_every_user(tmp_path, name, row):
    path = write(tmp_path / "a.json", {"u1": [row, row], "u2": [row]})
    recipe = DataRecipe.model_validate({"source": f"{name}:{path}", "partition": {"kind": "by_source"}, "held_out": 0})
    data = build_clients(recipe, None, seed=7)
    assert {client.name: len(client.train) for client in data.clients} == {"u1": 2, "u2": 1}
    first = data.clients[0].train[0]
    assert first.prompt[-1].content == ("Another?" if "conversations" in row else "Name a color.")
    assert (first.response, first.rejected) == (("Blue", None) if "conversations" in row else ("Red", row.get("rejected")))
    assert data.licences == {name: BENCH_SETS[name].licence}
    assert (data.unread, data.unanswered) == ((), 0)
    assert all_files(f"{name}:{path}")


@pytest.mark.parametrize(
    ("name", "released"),
    [
        ("fed-aya", "Fed-Aya/aya_38c_25k.json"),
        ("fed-chatbot-it", "chatbotIT_237c_6k.json"),
        ("fed-wildchat", "single_turn/wildchat_100c_53k.json"),
        ("fed-chatbot-pa", "chatbot-arena/chatbot_by_client-10k.json"),
    ],
)
def test_a_folder_is_searched_for_the_released_file(tmp_path, name, released):
    write(tmp_path / "other.json", [SINGLE])
    path = write(tmp_path / released, {"u": [PAIR if name == "fed-chatbot-pa" else SINGLE]})
    loaded = load(name, tmp_path)
    assert (loaded.origin, loaded.records[0].fields["client"]) == (str(path), "u")


def test_a_folder_may_hold_a_file_for_each_user(tmp_path):
    for user in ("u1", "u2"):
        write(tmp_path / f"{user}.json", [SINGLE])
    assert [record.fields["client"] for record in load("fed-aya", tmp_path).records] == ["u1", "u2"]


def test_of_two_released_files_one_is_to_be_named(tmp_path):
    for part in ("multi_turn/wildchat_50c.json", "single_turn/wildchat_100c_53k.json"):
        write(tmp_path / part, {"u": [SINGLE]})
    said = error("fed-wildchat", tmp_path)
    assert "holds several files of fed-wildchat (multi_turn/wildchat_50c.json, single_turn/wildchat_100c_53k.json); name one" in said


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        (
            "fed-aya",
            [SINGLE],
            "a.json: row 1: names no client: fed-aya is an object {client: [rows]}; a flat list is read without",
        ),
        (
            "fed-aya",
            {"u": [PAIR]},
            "the columns instruction and response, this row prompt, chosen, rejected; is it fed-chatbot-pa?",
        ),
        (
            "fed-chatbot-pa",
            {"u": [SINGLE]},
            "and rejected, this row instruction, response; is it fed-aya or fed-chatbot-it or fed-wildchat?",
        ),
        ("fed-wildchat", {"u": [{"a": "b"}]}, "has the columns instruction and response or conversations, this row a"),
        (
            "fed-wildchat",
            {"u": [share_gpt(), share_gpt(("gpt", "secret"), *TURNS)]},
            "a.json: client 'u': row 2: the conversation begins with the assistant, whom nobody has asked; mend or remove the row",
        ),
        (
            "fed-wildchat",
            {"u": [share_gpt(("tool", "secret"), *TURNS)]},
            "client 'u': row 1: turn 1 should have a role out of",
        ),
        ("fed-wildchat", {"u": [share_gpt(("human", "secret"))]}, "row 1: should hold a user turn and an assistant turn that answers it"),
        ("fed-wildchat", {"u": [share_gpt()], "v": []}, "client 'v': holds no rows"),
        ("fed-wildchat", {}, "holds no rows"),
    ],
)
def test_what_is_no_such_federation_is_one_line(tmp_path, name, content, said):
    assert said in error(name, write(tmp_path / "a.json", content))


def test_a_missing_file_and_a_form_without_one_are_named(tmp_path):
    assert error("fed-aya", tmp_path / "a.json") == f"data.source: fed-aya:{tmp_path}/a.json: no such file or folder"
    with pytest.raises(DataError, match="'fed-aya' reads a folder or file that stands after a colon: fed-aya:"):
        load_records(DataRecipe(source="fed-aya"), 7)
    with pytest.raises(DataError, match="unknown form 'fed-ayah:'; did you mean 'fed-aya:'"):
        load_records(DataRecipe(source="fed-ayah:a.json"), 7)


def test_a_system_turn_may_open_a_conversation(tmp_path):
    path = write(tmp_path / "a.json", {"u": [share_gpt(("system", "Be brief."), *TURNS)]})
    assert [turn.role for turn in load("fed-wildchat", path).records[0].turns] == ["system", "user", "assistant", "user", "assistant"]
