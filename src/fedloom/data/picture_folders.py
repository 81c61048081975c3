"""Pictures in folders, whose names say what is known of each: its class, and whose it is or which domain it is of."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from fedloom.data.lazy import Lazy
from fedloom.data.rows import Row

SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".gif", ".webp", ".tif", ".tiff")


class FolderRows(Lazy[Row]):
    """A row for each picture of `folder`, `names` being their places in it: the column path, and one for each folder above the picture.

    `levels` names these columns from the outermost on; of None there is none.
    """

    def __init__(self, folder: Path, names: Sequence[str], levels: Sequence[str | None]) -> None:
        self.folder, self.names, self.levels = folder, names, levels

    def __len__(self) -> int:
        return len(self.names)

    def many(self, indices: Iterable[int]) -> Iterator[Row]:
        for index in indices:
            path = self.folder / self.names[index]
            above = zip(self.levels, self.names[index].split("/"), strict=False)
            yield Row({"path": path} | {level: name for level, name in above if level}, str(path))

    def files(self) -> Iterator[tuple[str, Path]]:
        """(place in the folder, path) of every picture."""
        return ((name, self.folder / name) for name in self.names)


def pictures_below(folder: Path, levels: int) -> list[str]:
    """The pictures in `folder` and in the folders up to `levels` below it, by their places in it: those of a folder before those of the
    ones in it, all in the order of their names. Hidden ones are left out."""
    with os.scandir(folder) as entries:
        found = sorted((entry for entry in entries if not entry.name.startswith(".")), key=lambda entry: entry.name)
    names = [entry.name for entry in found if entry.name.lower().endswith(SUFFIXES) and entry.is_file()]
    for entry in found if levels else ():
        if entry.is_dir():
            names += (f"{entry.name}/{name}" for name in pictures_below(Path(entry), levels - 1))
    return names
