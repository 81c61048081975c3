"""A source or a recipe becomes clients, analyses and a folder."""

import json

import pytest

from fedloom.analysing import analyse, analysed_recipe
from fedloom.bench.diversity.language import _detector
from fedloom.errors import FedloomError, InterruptedRunError, RecipeError

ONLY = ["language", "length", "quantity"]
TINY = {"model.id": "tiny-llama"}


@pytest.fixture(scope="module", autouse=True)
def detector():
    _detector.cache_clear()


def made(target, folder, overrides=None, chosen=ONLY, own=False, tell=lambda *_: None):
    return analyse(str(target), TINY | (overrides or {}), chosen, folder, own, tell)


@pytest.fixture
def pairs(tmp_path):
    path = tmp_path / "pairs.jsonl"
    lines = [{"prompt": f"which of {n}", "chosen": "this one here", "rejected": "no", "owner": "a" if n % 3 else "b"} for n in range(9)]
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return path


def test_the_clients_of_a_source_are_those_that_it_names(tmp_path):
    found = made("tiny-demo", tmp_path / "out", chosen=["quantity"])
    assert list(found.sizes) == ["east", "north", "south", "west"]
    assert sum(found.sizes.values()) == found.found["quantity"].tables[0].total["rows"]
    assert (found.private, found.left_out) == (False, {})


def test_a_source_that_names_no_clients_is_one(tmp_path):
    (tmp_path / "rows.jsonl").write_text('{"instruction": "what is it", "output": "a bird"}\n' * 3)
    assert made(tmp_path / "rows.jsonl", tmp_path / "out", chosen=["quantity"]).sizes == {"client-00": 3}


def test_overrides_say_who_the_clients_are(tmp_path):
    found = made("tiny-demo", tmp_path / "out", {"data.partition": {"kind": "iid"}, "federation.clients": 2}, ["quantity"])
    assert len(found.sizes) == 2
    assert len(made("tiny-demo", tmp_path / "out", {"clients": 3, "data.partition.kind": "iid"}, ["quantity"]).sizes) == 3


def test_of_a_recipe_all_rows_are_analysed_those_that_are_held_out_too():
    recipe = analysed_recipe("tiny", {})
    assert (recipe.data.held_out, recipe.data.partition.settings["field"], recipe.model.id) == (0.0, "owner", "tiny-llama")


def test_pairs_are_analysed_and_private_rows_keep_their_words(tmp_path, pairs):
    found = made(pairs, tmp_path / "out", {"data.limit": 9}, [])
    assert set(found.found) == {"language", "length", "preference", "quality", "quantity"}
    assert {name: "--own allows it" in why for name, why in found.left_out.items()} == {"instruction": True, "embedding": True}
    facts = json.loads((tmp_path / "out" / "analyse.json").read_text())
    assert facts["private"]
    assert facts["origin"] == "pairs.jsonl"
    assert facts["leaves"].keys() == found.found.keys()
    assert found.found["preference"].tables[0].total["longer_chosen"] == 1.0


def test_what_is_asked_for_and_cannot_be_made_is_one_line(tmp_path, pairs):
    with pytest.raises(RecipeError, match=r"^--only instruction: shows verbs and nouns of its rows.*--own allows it"):
        made(pairs, tmp_path / "out", chosen=["instruction"])
    with pytest.raises(RecipeError, match=r"^--only preference: reads preference pairs"):
        made("tiny-demo", tmp_path / "out", chosen=["preference"])
    with pytest.raises(RecipeError, match=r"^--only lenght: unknown analysis 'lenght'; did you mean 'length'\?$"):
        made("tiny-demo", tmp_path / "out", chosen=["lenght"])
    with pytest.raises(RecipeError, match=r"^--only embedding.pionts: unknown key; did you mean 'points'\?$"):
        made("tiny-demo", tmp_path / "out", chosen=[{"kind": "embedding", "pionts": 3}])
    with pytest.raises(RecipeError, match=r"^--only length: reads conversations, and these rows are documents$"):
        made("tiny-documents", tmp_path / "out", chosen=["length"])
    with pytest.raises(FedloomError, match="no such folder"):
        made("tiny-demo", tmp_path / "out", {"model.id": "./nowhere"}, ["quality"])
    assert not (tmp_path / "out").exists()


def test_a_folder_of_something_else_is_left_alone(tmp_path):
    (tmp_path / "mine").write_text("mine")
    with pytest.raises(RecipeError, match="holds files of something else"):
        made("tiny-demo", tmp_path)
    with pytest.raises(RecipeError, match="is a file; name a folder"):
        made("tiny-demo", tmp_path / "mine")


def test_owners_see_a_map_of_their_own_rows_and_it_is_the_same_each_time(tmp_path, pairs):
    def points():
        chosen = [{"kind": "embedding", "embedder": "words"}]
        (chart,) = made(pairs, tmp_path / "out", chosen=chosen, own=True).found["embedding"].charts
        return chart.places.tolist()

    assert points() == points()
    assert (tmp_path / "out" / "embedding_map.png").stat().st_size > 5_000


def test_a_second_run_writes_the_same_files(tmp_path):
    def files():
        made("tiny-demo", tmp_path / "out", chosen=["language", "quality"])
        return {path.name: path.read_bytes() for path in (tmp_path / "out").iterdir()}

    assert files() == files()


def test_a_stopped_analysis_says_that_the_same_command_goes_on(tmp_path):
    def stop(*_):
        raise KeyboardInterrupt

    with pytest.raises(InterruptedRunError, match="the same command goes on"):
        made("tiny-demo", tmp_path / "out", tell=stop)
    assert not (tmp_path / "out").exists()
