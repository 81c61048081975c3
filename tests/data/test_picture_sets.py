"""Named sets of pictures: every layout of a user's copy gives its pictures with the set's own labels, and what does not fit is named."""

import gzip
import pickle
import struct

import datasets
import numpy as np
import pytest
from PIL import Image

from fedloom.data import hub
from fedloom.data.clients import build_clients
from fedloom.data.measured_rows import federated_data
from fedloom.data.picture_sets import PICTURE_SETS
from fedloom.data.record_sequence import described
from fedloom.data.records import Provenance
from fedloom.data.sources import all_files, load_records
from fedloom.errors import DataError, RecipeError
from fedloom.recipe import DataRecipe
from fedloom.resolve import load_recipe

CIFAR_PICKLE = {"data": np.arange(2 * 3072, dtype=np.uint32).reshape(2, 3072).astype(np.uint8), "labels": [9, 0]}


def load(source, **data):
    return load_records(DataRecipe(source=str(source), **data), seed=7)


def draw(path, value=7, size=(4, 4)):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", size, (value, 0, 0)).save(path)
    return path


def labels(loaded):
    return [one.label for one in described(loaded.records)]


def write_idx(folder, split, numbers, packed=False, dot="-"):
    folder.mkdir(parents=True, exist_ok=True)
    pixels = np.arange(len(numbers) * 6, dtype=np.uint8)
    for what, dimensions, content in (("images", (len(numbers), 2, 3), pixels.tobytes()), ("labels", (len(numbers),), bytes(numbers))):
        whole = bytes((0, 0, 8, len(dimensions))) + struct.pack(f">{len(dimensions)}i", *dimensions) + content
        name = f"{split}-{what}{dot}idx{len(dimensions)}-ubyte"
        (folder / (f"{name}.gz" if packed else name)).write_bytes(gzip.compress(whole) if packed else whole)


def write_cifar(folder, suffix="", protocol=2, old=False):
    folder.mkdir(parents=True, exist_ok=True)
    for name in [*(f"data_batch_{number}" for number in range(1, 6)), "test_batch"]:
        if suffix:
            rows = zip(CIFAR_PICKLE["labels"], CIFAR_PICKLE["data"], strict=True)
            content = b"".join(bytes([label]) + pixels.tobytes() for label, pixels in rows)
        else:
            content = pickle.dumps(CIFAR_PICKLE, protocol=protocol)
            content = content.replace(b"numpy._core", b"numpy.core") if old else content
        (folder / f"{name}{suffix}").write_bytes(content)


def write_parquet(path, domains=None, names=("cat", "dog"), image="image", broken=False):
    path.parent.mkdir(parents=True, exist_ok=True)
    content = [draw(path.with_name(f"{number}.png"), number).read_bytes() for number in (1, 2)]
    for number in (1, 2):
        path.with_name(f"{number}.png").unlink()
    held = [{"bytes": b"no picture" if broken and number else one, "path": f"{number}.png"} for number, one in enumerate(content)]
    features = {image: datasets.Image(), "label": datasets.ClassLabel(names=list(names))}
    columns = {image: held, "label": [1, 0]}
    if domains:
        features["domain"], columns["domain"] = datasets.Value("string"), domains
    made = datasets.Dataset.from_dict(columns, features=datasets.Features(features))
    made.to_parquet(path)
    return made


@pytest.mark.parametrize("inside", ["", "FashionMNIST/raw"])
@pytest.mark.parametrize(("packed", "dot"), [(True, "-"), (False, "-"), (False, ".")])
def test_idx_files_hold_fashion_mnist(tmp_path, inside, packed, dot):
    write_idx(tmp_path / inside, "train", [0, 9], packed, dot)
    write_idx(tmp_path / inside, "t10k", [7], packed, dot)
    loaded = load(f"fashion-mnist:{tmp_path}")
    assert labels(loaded) == ["T-shirt/top", "Ankle boot"]
    assert loaded.records[1].pixels[:, :, 0].tolist() == [[6, 7, 8], [9, 10, 11]]
    assert (loaded.records[0].provenance, loaded.kind) == (Provenance.PRIVATE, "picture")
    assert loaded.licences["fashion-mnist"].startswith("MIT")
    assert labels(load(f"fashion-mnist:{tmp_path}", split="test")) == ["Sneaker"]
    assert load(f"mnist:{tmp_path}/{inside}").records[1].label == "9"


def test_the_test_split_is_measured_in_the_size_of_what_is_trained_on(tmp_path):
    write_idx(tmp_path, "train", [0, 9, 3, 2])
    write_idx(tmp_path, "t10k", [7, 7])
    given = {"data.source": f"fashion-mnist:{tmp_path}", "data.held_out": 0, "data.picture_size": 2, "data.partition": {"kind": "iid"}}
    recipe = load_recipe(
        "pictures_tiny", given | {"evaluate.source": f"fashion-mnist:{tmp_path}", "evaluate.split": "test", "clients": 2, "per_round": 2}
    )
    data = federated_data(recipe)
    assert [[record.label for record in client.held_out] for client in data.clients] == [["Sneaker"], ["Sneaker"]]
    assert {record.pixels.shape for client in data.clients for record in (*client.train, *client.held_out)} == {(2, 2, 1)}


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (lambda content: content[:-1], r"train-images-idx3-ubyte: is not a whole IDX file of bytes with 3 dimensions; copy it again"),
        (lambda content: b"\1" + content[1:], r"is not a whole IDX file"),
        (lambda content: content[:4] + struct.pack(">i", 1) + content[8:-6], r"names 2 classes, and .*images-idx3-ubyte holds 1 pictures"),
    ],
)
def test_a_damaged_idx_file_is_named(tmp_path, spoil, said):
    write_idx(tmp_path, "train", [0, 9])
    path = tmp_path / "train-images-idx3-ubyte"
    path.write_bytes(spoil(path.read_bytes()))
    with pytest.raises(DataError, match=said):
        load(f"fashion-mnist:{tmp_path}")


def test_a_class_of_another_set_is_refused(tmp_path):
    write_idx(tmp_path, "train", [0, 10], packed=True)
    with pytest.raises(DataError, match=r"train-labels-idx1-ubyte\.gz: names a class of a number that is none of 0 to 9"):
        load(f"mnist:{tmp_path}")


@pytest.mark.parametrize("how", [{"protocol": 2}, {"protocol": 2, "old": True}, {"protocol": 5}, {"suffix": ".bin"}])
@pytest.mark.parametrize("inside", [True, False])
def test_cifar10_is_read_out_of_its_batches(tmp_path, how, inside):
    folder = "cifar-10-batches-bin" if "suffix" in how else "cifar-10-batches-py"
    write_cifar(tmp_path / folder, **how)
    loaded = load(f"cifar10:{tmp_path if inside else tmp_path / folder}")
    assert labels(loaded) == ["truck", "airplane"] * 5
    assert loaded.records[3].pixels.tolist() == CIFAR_PICKLE["data"][1].reshape(3, 32, 32).transpose(1, 2, 0).tolist()
    assert len(load(f"cifar10:{tmp_path}", split="test").records) == 2


def test_a_batch_that_would_run_something_is_refused_and_runs_nothing(tmp_path):
    class Harm:
        def __reduce__(self):
            return (exec, (f"open({str(tmp_path / 'ran')!r}, 'w')",))

    write_cifar(tmp_path)
    (tmp_path / "data_batch_3").write_bytes(pickle.dumps({"data": Harm(), "labels": [1]}))
    with pytest.raises(DataError, match=r"data_batch_3: asks for builtins\.exec, which no batch of CIFAR-10 needs"):
        load(f"cifar10:{tmp_path}")
    assert not (tmp_path / "ran").exists()
    (tmp_path / "data_batch_3").write_bytes(b"no pickle")
    with pytest.raises(DataError, match=r"data_batch_3: is not a batch of CIFAR-10; copy it again"):
        load(f"cifar10:{tmp_path}")
    (tmp_path / "data_batch_3").unlink()
    with pytest.raises(DataError, match=r"data_batch_3: no such file; copy all batches of CIFAR-10"):
        load(f"cifar10:{tmp_path}")


@pytest.mark.parametrize("inside", ["", "eurosat/2750"])
def test_eurosat_is_a_folder_of_classes_whose_names_are_the_sets_own(tmp_path, inside):
    draw(tmp_path / inside / "SeaLake" / "1.jpg")
    draw(tmp_path / inside / "annual crop" / "1.jpg")
    draw(tmp_path / inside / "Industrial Buildings" / "1.jpg")  # as copies on the hub have it
    assert sorted(labels(load(f"eurosat:{tmp_path}"))) == ["AnnualCrop", "Industrial", "SeaLake"]


def test_folders_of_a_split_are_read_by_it(tmp_path):
    draw(tmp_path / "train" / "cat" / "1.png")
    draw(tmp_path / "test" / "dog" / "1.png")
    assert [labels(load(f"cifar10:{tmp_path}", split=split)) for split in (None, "test")] == [["cat"], ["dog"]]
    with pytest.raises(DataError, match=r"holds no copy of cifar10 with the split 'valid'; expected cifar-10-batches-py"):
        load(f"cifar10:{tmp_path}", split="valid")


@pytest.mark.parametrize("inside", ["", "PACS/kfold"])
def test_a_client_for_each_domain_of_pacs(tmp_path, inside):
    for domain, label in (("photo", "dog"), ("photo", "person"), ("sketch", "dog"), ("sketch", "house")):
        draw(tmp_path / inside / domain / label / "1.jpg")
    partition = {"kind": "by_field", "field": "domain"}
    data = build_clients(DataRecipe.model_validate({"source": f"pacs:{tmp_path}", "partition": partition, "held_out": 0}), None, seed=7)
    assert [(client.name, [record.label for record in client.train]) for client in data.clients] == [
        ("photo", ["dog", "person"]),
        ("sketch", ["dog", "house"]),
    ]


def test_vlcs_has_splits_in_its_domains_and_classes_by_number(tmp_path):
    for split, value in (("full", 1), ("test", 2)):
        draw(tmp_path / "SUN" / split / "0" / "1.jpg", value)
        draw(tmp_path / "CALTECH" / split / "4" / "1.jpg", value)
    for split in (None, "test"):
        loaded = load(f"vlcs:{tmp_path}", split=split)
        assert [(one.label, one.fields) for one in loaded.records] == [("person", {"domain": "CALTECH"}), ("bird", {"domain": "SUN"})]
    with pytest.raises(DataError, match=r"^data\.split: .* has no pictures of 'crossval'; it has full, test$"):
        load(f"vlcs:{tmp_path}", split="crossval")


def test_vlcs_without_splits_is_read_too(tmp_path):
    draw(tmp_path / "SUN09" / "chair" / "1.jpg")
    (one,) = load(f"vlcs:{tmp_path}").records
    assert (one.label, one.fields) == ("chair", {"domain": "SUN09"})


def test_a_folder_of_another_class_is_named(tmp_path):
    draw(tmp_path / "River" / "1.jpg")
    draw(tmp_path / "Lava" / "1.jpg")
    with pytest.raises(DataError, match=r"Lava/1\.jpg: is of no class of eurosat \(AnnualCrop, Forest"):
        load(f"eurosat:{tmp_path}")


@pytest.mark.parametrize("whole", [True, False])
def test_parquet_files_of_the_hub_hold_pictures(tmp_path, whole):
    file = tmp_path / "data" / "train-00000-of-00001.parquet"
    write_parquet(file, domains=["sketch", "photo"], names=["dog", "elephant"], image="img")
    write_parquet(tmp_path / "data" / "test-00000-of-00001.parquet", domains=["photo", "photo"], names=["house", "person"])
    first, second = load(f"pacs:{file}" if whole else f"pacs:{tmp_path}", split=None if whole else "train").records
    assert (first.label, first.fields, first.pixels[0, 0].tolist()) == ("elephant", {"domain": "sketch"}, [1, 0, 0])
    assert (second.label, second.fields["domain"]) == ("dog", "photo")
    assert labels(load(f"pictures:{file}")) == ["elephant", "dog"]


def test_a_table_without_the_hubs_notes_is_known_by_its_types(tmp_path):
    import pyarrow
    from pyarrow import parquet

    content = draw(tmp_path / "1.png", 3).read_bytes()
    parquet.write_table(pyarrow.table({"image": [{"bytes": content}], "label": [2]}), tmp_path / "a.parquet")
    assert labels(load(f"cifar10:{tmp_path}")) == ["bird"]
    assert load(f"pictures:{tmp_path}/a.parquet").records[0].label == "2"


def test_a_set_of_pictures_on_the_hub_is_read_as_pictures(tmp_path, monkeypatch):
    made = write_parquet(tmp_path / "a.parquet", domains=["x", "y"], broken=True)
    monkeypatch.setattr(datasets, "load_dataset", lambda name, subset, split: made)
    source = hub.hub_rows("a/b", None, "train")
    assert (source.reads, source.provenance) == ("picture", Provenance.PUBLIC)
    loaded = load("hub:a/b")
    assert [(one.label, one.fields, one.pixels.shape) for one in loaded.records] == [("dog", {"domain": "x"}, (4, 4, 3))]
    assert loaded.notes[-1] == "1 of 2 pictures cannot be read and are left out"


def test_a_folder_without_a_copy_says_what_is_expected(tmp_path):
    for name, one in PICTURE_SETS.items():
        with pytest.raises(DataError, match=rf"^data\.source: .*: holds no copy of {name}.*; expected ") as caught:
            load(f"{name}:{tmp_path}")
        assert str(caught.value).endswith(one.copies)
    with pytest.raises(DataError, match=r"data\.source: 'cifar10' reads a folder or file that stands after a colon"):
        load("cifar10")


def test_a_recipe_keeps_the_place_of_a_set_and_its_split(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    given = {
        "data.source": "part:1/2:mnist:here",
        "data.split": "test",
        "evaluate.source": "mnist:here",
        "evaluate.split": "test",
        "data.held_out": 0,
    }
    recipe = load_recipe("pictures_tiny", given)
    assert (recipe.data.source, recipe.evaluate.source) == (f"part:1/2:mnist:{tmp_path}/here", f"mnist:{tmp_path}/here")
    assert all_files(recipe.data.source)
    with pytest.raises(
        RecipeError, match=r"^evaluate\.split: belongs to data sets of the hub and named sets of pictures, and digits is none"
    ):
        load_recipe("pictures_tiny", given | {"evaluate.source": "digits"})
