"""Joins and parts of sources: disjoint parts whose union is the source, known apart by hash and origin, and what is written wrong."""

import pytest

from fedloom.data.record_sequence import digests
from fedloom.data.source_names import Part, part_of, single_sources
from fedloom.data.sources import all_files, load_records
from fedloom.errors import RecipeError
from fedloom.recipe import DataRecipe
from fedloom.resolve import load_recipe


def load(source, **data):
    return load_records(DataRecipe(source=str(source), **data), seed=7)


def test_parts_are_disjoint_and_together_the_source():
    whole = load("digits")
    parts = [load(f"part:{number}/3:digits") for number in (1, 2, 3)]
    assert [len(part.records) for part in parts] == [599, 599, 599]
    for number, part in enumerate(parts):
        assert list(digests(part.records)) == list(digests(whole.records))[number::3]
    assert len({loaded.sha256 for loaded in (whole, *parts)}) == 4
    assert (parts[1].origin, parts[1].licences) == (f"{whole.origin}, part 2 of 3", whole.licences)
    assert (parts[0].kind, parts[0].records[0].provenance) == (whole.kind, whole.records[0].provenance)


def test_a_part_of_a_part_and_a_limit_of_a_part():
    sixth = load("part:2/2:part:1/3:digits")
    assert list(digests(sixth.records)) == list(digests(load("digits").records))[3::6]
    assert len(load("part:1/3:digits", limit=10).records) == 10


def test_a_join_may_have_several_parts_of_one_source():
    loaded = load("join:part:1/2:tiny-demo,part:2/2:tiny-demo")
    assert {record.fields["client"] for record in loaded.records} == {"tiny-demo-1-of-2", "tiny-demo-2-of-2"}
    assert (len(loaded.records), loaded.records.unread) == (160, load("tiny-demo").records.unread)


def test_a_part_of_a_named_set_is_read_by_its_columns(tmp_path):
    (tmp_path / "a.jsonl").write_text("".join(f'{{"question": "{n}?", "answer": "{n}"}}\n' for n in range(5)))
    assert [one.response for one in load(f"part:2/2:{tmp_path}/a.jsonl", like="gsm8k").records] == ["1", "3"]


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("part:digits", "data.source: part:digits should be part:K/N:SOURCE, such as part:1/3:digits"),
        ("part:0/3:digits", "data.source: part:0/3:digits: there are the parts 1 to 3, and no part 0"),
        ("part:4/3:digits", "data.source: part:4/3:digits: there are the parts 1 to 3, and no part 4"),
        ("part:1/2:join:a,b", "data.source: a part of a join is a join of parts; write join:part:1/2:a,part:1/2:b"),
    ],
)
def test_a_part_that_is_written_wrong_is_explained(name, said):
    for read in (part_of, load, lambda source: load_recipe("pictures_tiny", {"data.source": source})):
        with pytest.raises(RecipeError) as caught:
            read(name)
        assert str(caught.value) == said


def test_what_a_source_is_made_of():
    assert single_sources("join:part:1/2:a, hub:b/c") == ["a", "hub:b/c"]
    assert str(Part(1, 2, "pictures:x")) == "part:1/2:pictures:x"
    assert part_of("digits") is None
    assert all_files("join:part:1/2:pictures:x,documents:y")
    assert not all_files("part:1/2:hub:a/b")


def test_a_recipe_keeps_absolute_paths_within_parts_and_joins(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a.jsonl").write_text('{"question": "a", "answer": "b"}\n')
    recipe = load_recipe("tiny", {"data.source": "join:part:1/2:a.jsonl,tiny-demo"})
    assert recipe.data.source == f"join:part:1/2:{tmp_path}/a.jsonl,tiny-demo"
