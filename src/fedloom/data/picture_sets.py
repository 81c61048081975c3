"""Public sets of pictures by name, as a user has them on disk: `cifar10:FOLDER`, and so on. Their labels are the sets' own class names.

A set is data: its classes, its licence and the layouts in which its copies are found. A layout is a function of the set, a folder and a
split that gives rows, or None for a folder that is of another layout.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from fedloom.data.folders import open_folder
from fedloom.data.formats import is_data_file
from fedloom.data.lazy import Concatenated, Mapped
from fedloom.data.picture_arrays import ArrayRows, cifar_bytes, cifar_pickle, idx_arrays
from fedloom.data.picture_columns import parquet_pictures
from fedloom.data.picture_folders import FolderRows, pictures_below
from fedloom.data.records import Picture
from fedloom.data.rows import Row, SourceRows, sha256_of_files
from fedloom.errors import DataError
from fedloom.files import local_path

Layout = Callable[["PictureSet", Path, "str | None"], "SourceRows | None"]

BATCHES = {"train": [f"data_batch_{number}" for number in range(1, 6)], "test": ["test_batch"]}
"""Split -> the batches of CIFAR-10."""

SPLITS = ("train", "test", "val")
"""How the names of splits begin by which Parquet files are told apart."""

IDX = {"train": "train", "test": "t10k"}
"""Split -> how the names of its IDX files begin."""


@dataclass(frozen=True)
class PictureSet:
    """`labels` in the order of their numbers. `levels` are the columns that stand for the folders above a picture, `split` among them where
    it is one. `split` is read where none is asked for. `inside` are folders of a copy in which the files may lie."""

    labels: tuple[str, ...]
    licence: str
    copies: str
    layouts: tuple[Layout, ...]
    levels: tuple[str, ...] = ("label",)
    split: str | None = None
    inside: tuple[str, ...] = ()


def idx_files(one: PictureSet, folder: Path, split: str | None) -> SourceRows | None:
    """train-images-idx3-ubyte and train-labels-idx1-ubyte, or t10k-..., gzipped or not."""
    begin = IDX.get(split or "")
    found = [_first(folder, [f"{begin}-{what}{dot}idx{ndim}-ubyte" for dot in "-."]) for what, ndim in (("images", 3), ("labels", 1))]
    files = [file for file in found if file]
    return _arrays(ArrayRows(idx_arrays, files, one.labels), files) if len(files) == len(found) else None


def cifar_batches(one: PictureSet, folder: Path, split: str | None) -> SourceRows | None:
    """data_batch_1 to data_batch_5 and test_batch of cifar-10-batches-py, or with .bin behind the names of cifar-10-batches-bin."""
    for suffix, read in (("", cifar_pickle), (".bin", cifar_bytes)):
        files = [folder / f"{name}{suffix}" for name in BATCHES.get(split or "", [])]
        if files and files[0].is_file():
            missing = [file for file in files if not file.is_file()]
            if missing:
                raise DataError(f"{missing[0]}: no such file; copy all batches of CIFAR-10")
            return _arrays(Concatenated([ArrayRows(read, [file], one.labels) for file in files]), files)
    return None


def parquet_files(one: PictureSet, folder: Path, split: str | None) -> SourceRows | None:
    """Parquet files as the hub has them; of several those whose names, or whose folders', begin with the split."""
    files = {path: path.relative_to(folder).parts for path in sorted(folder.rglob("*.parquet"))}
    chosen = [path for path, parts in files.items() if split and any(part.startswith(split) for part in parts)]
    told = any(part.startswith(SPLITS) for parts in files.values() for part in parts)
    return None if not files or (split and told and not chosen) else _tables(chosen or list(files))


def class_folders(one: PictureSet, folder: Path, split: str | None) -> SourceRows | None:
    """A folder for each level, the split above the others or where `levels` have it: CLASS/picture, DOMAIN/CLASS/picture."""
    if "split" not in one.levels and split and (folder / split).is_dir():
        folder = folder / split
    depth = len(one.levels)
    names = [name for name in pictures_below(folder, depth) if name.count("/") == depth]
    if "split" in one.levels:
        place = one.levels.index("split")
        if shallow := [name for name in pictures_below(folder, depth - 1) if name.count("/") == depth - 1]:
            return _in_folders(one, folder, shallow, tuple(level for level in one.levels if level != "split"))
        held = {name.split("/")[place] for name in names}
        names = [name for name in names if name.split("/")[place] == split]
        if held and not names:
            raise DataError(f"data.split: {folder} has no pictures of '{split}'; it has {', '.join(sorted(held))}")
    return _in_folders(one, folder, names, one.levels)


FOLDERS_OR_PARQUET: tuple[Layout, ...] = (class_folders, parquet_files)
MNIST_LIKE: dict[str, Any] = {
    "copies": "IDX files (train-images-idx3-ubyte ..., gzipped or not), CLASS/picture.png or Parquet files",
    "layouts": (idx_files, *FOLDERS_OR_PARQUET),
    "split": "train",
}

EUROSAT = (
    "AnnualCrop", "Forest", "HerbaceousVegetation", "Highway", "Industrial", "Pasture", "PermanentCrop", "Residential", "River", "SeaLake",
)  # fmt: skip

ALIASES = {"eurosat": {"industrialbuildings": "Industrial", "residentialbuildings": "Residential"}}
"""Set -> letters of a name that a copy of the hub has for a class -> the set's own name."""

PICTURE_SETS = {
    "cifar10": PictureSet(
        ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"),
        "not stated; Krizhevsky 2009, https://www.cs.toronto.edu/~kriz/cifar.html",
        "cifar-10-batches-py, cifar-10-batches-bin, CLASS/picture.png or Parquet files",
        (cifar_batches, *FOLDERS_OR_PARQUET),
        split="train",
        inside=("cifar-10-batches-py", "cifar-10-batches-bin"),
    ),
    "eurosat": PictureSet(
        EUROSAT,
        "MIT; Helber et al. 2019, https://github.com/phelber/eurosat",
        "eurosat/2750/CLASS/picture.jpg, CLASS/picture.jpg or Parquet files",
        FOLDERS_OR_PARQUET,
        inside=("eurosat/2750", "EuroSAT/2750", "2750", "EuroSAT_RGB"),
    ),
    "fashion-mnist": PictureSet(
        ("T-shirt/top", "Trouser", "Pullover", "Dress", "Coat", "Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot"),
        "MIT; Xiao et al. 2017, https://github.com/zalandoresearch/fashion-mnist",
        **MNIST_LIKE,
        inside=("FashionMNIST/raw", "raw"),
    ),
    "mnist": PictureSet(
        tuple("0123456789"),
        "CC BY-SA 3.0; LeCun et al. 1998, http://yann.lecun.com/exdb/mnist",
        **MNIST_LIKE,
        inside=("MNIST/raw", "raw"),
    ),
    "pacs": PictureSet(
        ("dog", "elephant", "giraffe", "guitar", "horse", "house", "person"),
        "not stated; Li et al. 2017, arXiv:1710.03077",
        "DOMAIN/CLASS/picture.jpg or Parquet files with a column domain",
        FOLDERS_OR_PARQUET,
        levels=("domain", "label"),
        inside=("PACS/kfold", "kfold", "PACS"),
    ),
    "vlcs": PictureSet(
        ("bird", "car", "chair", "dog", "person"),
        "not stated; Fang et al. 2013, ICCV",
        "DOMAIN/CLASS/picture.jpg, DOMAIN/(train|crossval|test|full)/CLASS/picture.jpg or Parquet files with a column domain",
        FOLDERS_OR_PARQUET,
        levels=("domain", "split", "label"),
        split="full",
        inside=("VLCS",),
    ),
}


def set_rows(name: str, rest: str, split: str | None = None) -> SourceRows:
    """The pictures of `split` of the set `name` in `rest`, a folder or a Parquet file: rows with the column label, of sets with domains
    also domain.

    Raises DataError for a folder that holds no copy of the set or of its split, with what is expected.
    """
    one, place = PICTURE_SETS[name], local_path(rest)
    found = _tables([place]) if is_data_file(place) else _found(one, open_folder(rest), split or one.split)
    if found is None:
        asked = split or one.split
        of = f" with the split '{asked}'" if asked else ""
        raise DataError(f"data.source: {place}: holds no copy of {name}{of}; expected {one.copies}")
    rows = Mapped(found.rows, partial(_with_class, name))
    return replace(found, rows=rows, origin=f"{name} ({place})", licences={name: one.licence}, reads=Picture.kind)


def _found(one: PictureSet, folder: Path, split: str | None) -> SourceRows | None:
    """What the first layout that fits gives of `folder`, or of one inside it."""
    places = [place for place in (*(folder / inner for inner in one.inside), folder) if place.is_dir()]
    return next((found for place in places for layout in one.layouts if (found := layout(one, place, split))), None)


def _with_class(name: str, row: Row) -> Row:
    """`row` with its class as the set calls it, whether it is written as a name, in any letters, or as a number."""
    labels, given = PICTURE_SETS[name].labels, str(row.columns.get("label"))
    given = ALIASES.get(name, {}).get(_letters(given), given)
    label = next((label for label in labels if _letters(label) == _letters(given)), None)
    if label is None and given.isdecimal() and int(given) < len(labels):
        label = labels[int(given)]
    if label is None:
        raise DataError(f"{row.where}: is of no class of {name} ({', '.join(labels)})")
    return Row({**row.columns, "label": label}, row.where)


def _letters(name: str) -> str:
    return "".join(letter for letter in name.casefold() if letter.isalnum())


def _in_folders(one: PictureSet, folder: Path, names: Sequence[str], levels: Sequence[str]) -> SourceRows | None:
    """The pictures `names` of `folder`; None where none lies in the folder of a class."""
    place = levels.index("label")
    classes = {_letters(label) for label in one.labels} | {str(number) for number in range(len(one.labels))}
    if not any(_letters(inner) in classes for inner in {name.split("/")[place] for name in names}):
        return None
    rows = FolderRows(folder, names, [level if level != "split" else None for level in levels])
    return SourceRows(rows, "", sha256=sha256_of_files(dict(rows.files())))


def _tables(files: Sequence[Path]) -> SourceRows | None:
    rows = parquet_pictures(files)
    return None if rows is None else SourceRows(rows, "", sha256=sha256_of_files({path.name: path for path in files}))


def _arrays(rows: Sequence[Row], files: Sequence[Path]) -> SourceRows:
    return SourceRows(rows, "", sha256=sha256_of_files({path.name: path for path in files}))


def _first(folder: Path, names: Sequence[str]) -> Path | None:
    """The first of `names`, gzipped or not, that is a file of `folder`."""
    return next((path for name in names for path in (folder / name, folder / f"{name}.gz") if path.is_file()), None)
