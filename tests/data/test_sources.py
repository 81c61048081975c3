"""Sources: names, files, folders and the hub, with provenance and checksums; what cannot be used is named in one line."""

import hashlib
import json
import sys
import types
import zipfile

import pytest

from fedloom.data import evals_demo
from fedloom.data.records import Provenance
from fedloom.data.sources import load_records, sources
from fedloom.errors import DataError, MissingExtraError
from fedloom.recipe import DataRecipe


def load(source, seed=7, **data):
    return load_records(DataRecipe(source=str(source), **data), seed)


def lines(*pairs):
    return "".join(json.dumps({"question": question, "answer": answer}) + "\n" for question, answer in pairs)


def write_lines(path, count=1):
    path.write_text(lines(*[(f"q{i}", f"a{i}") for i in range(count)]))
    return path


def test_a_file_is_private_and_its_checksum_is_of_its_bytes(tmp_path):
    path = write_lines(tmp_path / "a.jsonl")
    loaded = load(path)
    assert loaded.records[0].provenance is Provenance.PRIVATE
    assert loaded.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()
    assert loaded.origin == str(path)


def test_provenance_can_be_declared(tmp_path):
    assert load(write_lines(tmp_path / "a.jsonl"), provenance="public").records[0].provenance is Provenance.PUBLIC


def test_a_folder_gives_one_client_per_file(tmp_path):
    write_lines(tmp_path / "clinic.jsonl", 2)
    (tmp_path / "school.json").write_text('[{"question": "a", "answer": "b"}]')
    (tmp_path / "README.md").write_text("not data")
    loaded = load(tmp_path)
    assert [example.fields["client"] for example in loaded.records] == ["clinic", "clinic", "school"]
    write_lines(tmp_path / "clinic.jsonl", 3)
    assert load(tmp_path).sha256 != loaded.sha256


def test_two_files_of_one_client_are_both_named(tmp_path):
    write_lines(tmp_path / "clinic.jsonl")
    (tmp_path / "clinic.csv").write_text("question,answer\na,b\n")
    with pytest.raises(DataError, match=r"clinic\.csv and clinic\.jsonl would both be the client 'clinic'"):
        load(tmp_path)


def test_an_empty_file_of_a_folder_names_its_client(tmp_path):
    (tmp_path / "clinic.jsonl").write_text("")
    with pytest.raises(DataError, match=r"client 'clinic': .*clinic\.jsonl: holds no rows"):
        load(tmp_path)


def test_a_folder_without_data_files_says_what_it_should_hold(tmp_path):
    with pytest.raises(DataError, match=r"holds no data files; expected one file per client \(\.json"):
        load(tmp_path)


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(DataError, match=r"data\.source: .*gone\.jsonl: no such file"):
        load(tmp_path / "gone.jsonl")


def test_a_mistyped_source_names_the_nearest():
    with pytest.raises(DataError, match="did you mean 'evals-demo'"):
        load("evals-dmo")


def test_a_limit_draws_rows_by_the_seed_and_keeps_their_order(tmp_path):
    path = write_lines(tmp_path / "a.jsonl", 50)
    drawn = [[int(e.response[1:]) for e in load(path, seed, limit=10).records] for seed in (1, 1, 2)]
    assert drawn[0] == drawn[1] == sorted(drawn[0])
    assert drawn[0] != drawn[2]
    assert len(load(path, limit=99).records) == 50


def test_joined_sources_are_read_each_by_itself_and_limited_each(tmp_path):
    write_lines(tmp_path / "a.jsonl", 9)
    (tmp_path / "b.csv").write_text("instruction,output\n" + "".join(f"i{i},o{i}\n" for i in range(8)))
    loaded = load(f"join:{tmp_path}/a.jsonl, {tmp_path}/b.csv,tiny-demo", limit=5)
    assert [example.fields["client"] for example in loaded.records] == ["a"] * 5 + ["b"] * 5 + ["tiny-demo"] * 5
    assert [example.provenance for example in loaded.records[::5]] == [Provenance.PRIVATE, Provenance.PRIVATE, Provenance.PUBLIC]
    assert loaded.records[5].prompt[0].content.startswith("i")
    assert "tiny-demo" in loaded.origin
    assert loaded.sha256 != load(f"join:tiny-demo,{tmp_path}/a.jsonl,{tmp_path}/b.csv").sha256


@pytest.mark.parametrize("source", ["join:", "join:tiny-demo,tiny-demo"])
def test_a_join_names_each_source_once(source):
    with pytest.raises(DataError, match="should name each source once"):
        load(source)


def test_joined_files_of_one_name_are_refused(tmp_path):
    for folder in ("x", "y"):
        (tmp_path / folder).mkdir()
        write_lines(tmp_path / folder / "a.jsonl")
    with pytest.raises(DataError, match="would have one name"):
        load(f"join:{tmp_path}/x/a.jsonl,{tmp_path}/y/a.jsonl")


def test_a_source_of_ones_own_gives_plain_rows_and_is_private(monkeypatch):
    monkeypatch.setattr(sources, "_parts", dict(sources._parts))

    @sources.register("my-source")
    def mine():
        yield {"question": "a", "answer": "b", "owner": "me"}

    loaded = load("my-source")
    assert loaded.records[0].fields == {"owner": "me"}
    assert loaded.records[0].provenance is Provenance.PRIVATE
    assert loaded.sha256 == load("my-source").sha256

    @sources.register("empty-source")
    def empty():
        return []

    with pytest.raises(DataError, match="empty-source holds no rows"):
        load("empty-source")


def test_tiny_demo_has_four_owners_with_forty_rows_each():
    loaded = load("tiny-demo")
    owners = [example.fields["owner"] for example in loaded.records]
    assert {owner: owners.count(owner) for owner in owners} == {"north": 40, "east": 40, "south": 40, "west": 40}
    assert len({example.turns for example in loaded.records}) == 160
    assert loaded.records[0].provenance is Provenance.PUBLIC
    assert loaded.sha256 == load("tiny-demo").sha256


@pytest.fixture
def evals_wheel(tmp_path, monkeypatch):
    """A small wheel in the layout of the real one, carried by hand."""

    def add(name, *rows):
        package.writestr(f"{evals_demo.SETS}{name}/samples.jsonl", "".join(json.dumps(row) + "\n" for row in rows))

    with zipfile.ZipFile(tmp_path / evals_demo.FILENAME, "w") as package:
        asked = [{"role": "system", "content": "Brief."}, {"role": "user", "content": "?"}]
        for name in evals_demo.OWNERS.values():
            add(name, {"input": asked, "ideal": "yes"})
        add("many", {"input": "?", "ideal": ["yes", "Yes"]}, {"input": asked[:1], "ideal": "no"})
        add("other", {"puzzle": "?"})
        section = "#### Many\n- **Location**: evals/registry/data/many\n- **Components**:\n    - **A**:\n        - **License**: CC BY 4.0\n"
        package.writestr(evals_demo.LICENCES, f"MIT License\n\n{section}")
    monkeypatch.setenv("FEDLOOM_WHEELS", str(tmp_path))
    monkeypatch.setattr(evals_demo, "SHA256", hashlib.sha256((tmp_path / evals_demo.FILENAME).read_bytes()).hexdigest())


def test_the_demo_has_four_owners_public_text_and_a_licence_per_set(evals_wheel):
    loaded = load("evals-demo")
    assert [example.fields for example in loaded.records] == [
        {"owner": owner} for owner in ("clinic", "it-department", "retailer", "school")
    ]
    assert [turn.role for turn in loaded.records[0].turns] == ["system", "user", "assistant"]
    assert loaded.records[0].provenance is Provenance.PUBLIC
    assert set(loaded.licences) == set(evals_demo.OWNERS.values())
    assert loaded.licences["food"].startswith("MIT")


def test_other_sets_of_the_demo_package_can_be_named(evals_wheel):
    loaded = load("evals:many,food")
    assert [example.fields["owner"] for example in loaded.records] == ["many", "many", "food"]
    assert loaded.records[0].alternatives == ("Yes",)
    assert loaded.records[1].turns[0].role == "user"
    assert loaded.licences["many"] == "A: CC BY 4.0"


def test_a_set_that_is_not_there_or_not_of_this_kind_is_named(evals_wheel):
    with pytest.raises(DataError, match="no set 'fod'; did you mean 'food'"):
        load("evals:fod")
    with pytest.raises(DataError, match="evals:other:1: has no question with a text answer"):
        load("evals:other")


@pytest.fixture
def hub(monkeypatch):
    """A stand-in for the datasets library that records its calls and answers with `rows` or raises `error`."""

    class Loaded(list):
        info, features = types.SimpleNamespace(license="mit"), types.SimpleNamespace(to_dict=dict)

    def load_dataset(name, subset, split):
        module.asked = (name, subset, split)
        if module.error:
            raise module.error
        return Loaded([{"question": "a", "answer": "b"}])

    module = types.ModuleType("datasets")
    module.error = None
    module.load_dataset = load_dataset
    module.exceptions = types.SimpleNamespace(DatasetsError=KeyError)
    monkeypatch.setitem(sys.modules, "datasets", module)
    return module


def test_a_hub_data_set_is_public_and_asked_for_by_subset_and_split(hub):
    loaded = load("hub:openai/gsm8k", subset="main", split="test")
    assert hub.asked == ("openai/gsm8k", "main", "test")
    assert loaded.records[0].provenance is Provenance.PUBLIC
    assert loaded.licences == {"openai/gsm8k": "mit"}


def test_rows_of_a_hub_data_set_are_asked_for_one_by_one(hub, monkeypatch):
    asked = []

    class Loaded:
        info, features = types.SimpleNamespace(license=None), types.SimpleNamespace(to_dict=dict)

        def __len__(self):
            return 1000

        def __getitem__(self, index):
            asked.append(index)
            return {"question": f"q{index}", "answer": "a"}

    monkeypatch.setattr(hub, "load_dataset", lambda name, subset, split: Loaded())
    loaded = load("hub:a/b", limit=3)
    asked.clear()
    first = loaded.records[0].prompt[0].content
    assert asked == [int(first[1:])]


def test_a_row_of_a_hub_data_set_that_does_not_fit_is_named(hub, monkeypatch):
    wrong = type("Loaded", (list,), {"info": types.SimpleNamespace(license=None), "features": types.SimpleNamespace(to_dict=dict)})
    rows = wrong([{"question": "a", "answer": "b"}, {"question": "a", "answer": "b"}, {"question": 1}])
    monkeypatch.setattr(hub, "load_dataset", lambda name, subset, split: rows)
    with pytest.raises(DataError, match=r"^hub:a/b: row 3: column 'question' \(instruction\) should be text, not a number$"):
        load("hub:a/b")


def test_a_hub_that_cannot_be_reached_is_one_line(hub):
    hub.error = ConnectionError("Couldn't reach the Hub\nlong story")
    with pytest.raises(DataError, match=r"hub:a/b cannot be loaded \(Couldn't reach the Hub\); check the network") as caught:
        load("hub:a/b")
    assert "\n" not in str(caught.value)


def test_the_hub_without_its_library_names_the_extra(monkeypatch):
    monkeypatch.setitem(sys.modules, "datasets", None)
    with pytest.raises(MissingExtraError, match=r"pip install 'fedloom\[hub\]'"):
        load("hub:a/b")
