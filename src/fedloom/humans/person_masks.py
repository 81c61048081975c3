"""Where the masks of an imported person come from: the capture itself, a folder, MediaPipe, or a segmentation model."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from fedloom.data.capture_layouts import PersonFolder, Photograph
from fedloom.data.capture_layouts.person_folder import beside
from fedloom.data.capture_pictures import colours_of
from fedloom.errors import DataError, MissingExtraError, RecipeError
from fedloom.humans.segmentation_model import SegmentationModel

REQUIREMENT = "mediapipe==0.10.21"

SCRIPT = Path(__file__).with_name("mediapipe_masks.py")


@dataclass(frozen=True)
class Made:
    """`photographs` with their masks; `poses` as mediapipe_masks.py writes them, or null."""

    photographs: tuple[Photograph, ...]
    poses: Mapping[str, Any] | None = None


@dataclass(frozen=True)
class Masks:
    """The masks that the capture has. Other kinds derive from this. `written` says whether the copy gets masks."""

    named: ClassVar[str] = "own"
    written: ClassVar[bool] = True

    def made(self, person: PersonFolder, scratch: Path) -> Made:
        """The photographs of `person` with their masks; files that are made for it go into `scratch`. Raises a FedloomError in one line."""
        return Made(person.photographs)


@dataclass(frozen=True)
class NoMasks(Masks):
    """None, even where the capture has some."""

    named = "none"
    written = False

    def made(self, person: PersonFolder, scratch: Path) -> Made:
        return Made(_with_masks(person, [None] * len(person.photographs)))


@dataclass(frozen=True)
class FolderMasks(Masks):
    """Pictures of the photographs' names, in `folder` or in its subfolder of the person's name."""

    folder: Path
    named = "folder"

    def made(self, person: PersonFolder, scratch: Path) -> Made:
        own = self.folder / person.path.resolve().name
        folder = own if own.is_dir() else self.folder
        found = [beside(view.image, person.path, folder) for view in person.views]
        for view, mask in zip(person.views, found, strict=True):
            if mask is None:
                raise DataError(f"{folder}: holds no mask of {view.image.name}; it should be called {view.image.stem}.png")
        return Made(_with_masks(person, found))


@dataclass(frozen=True)
class MediapipeMasks(Masks):
    """By MediaPipe's pose and segmentation model, which `python`, an interpreter that has it, runs."""

    python: Path
    named = REQUIREMENT

    def made(self, person: PersonFolder, scratch: Path) -> Made:
        source, target = scratch / "in", scratch / "out"
        for folder in (source, target):
            folder.mkdir()
        for number, view in enumerate(person.views, start=1):
            np.save(source / f"{number}.npy", colours_of(view))
        self._run(source, target)
        masks = [np.load(target / f"{number}.npy") for number in range(1, len(person.views) + 1)]
        return Made(_with_masks(person, _saved(masks, scratch)), json.loads((target / "pose.json").read_text(encoding="utf-8")))

    def _run(self, source: Path, target: Path) -> None:
        # -I: neither the folder of the script nor PYTHONPATH, whose modules are of this environment, is searched
        command = [str(self.python), "-I", str(SCRIPT), str(source), str(target)]
        try:
            done = subprocess.run(command, capture_output=True, text=True, check=False)
        except OSError as error:
            raise RecipeError(f"--mediapipe-python {self.python}: cannot be run ({error.strerror})") from None
        if done.returncode == 0:
            return
        if "No module named 'mediapipe'" in done.stderr:
            raise RecipeError(
                f"--mediapipe-python {self.python}: has no mediapipe; install it there: {self.python} -m pip install {REQUIREMENT}"
            )
        last = (done.stderr.strip().splitlines() or ["it gave no reason"])[-1]
        raise RecipeError(f"--mediapipe-python {self.python}: {REQUIREMENT} failed ({last[:200]})")


@dataclass(frozen=True)
class ModelMasks(Masks):
    """By a model of transformers for semantic segmentation, one of whose labels is person, or is background beside clothes."""

    model: SegmentationModel
    named = "model"

    def made(self, person: PersonFolder, scratch: Path) -> Made:
        return Made(_with_masks(person, _saved([self.model.person(colours_of(view)) for view in person.views], scratch)))


def _with_masks(person: PersonFolder, masks: Sequence[Path | None]) -> tuple[Photograph, ...]:
    return tuple(
        replace(photograph, view=replace(photograph.view, mask=mask)) for photograph, mask in zip(person.photographs, masks, strict=True)
    )


def _saved(masks: Sequence[np.ndarray], scratch: Path) -> list[Path]:
    try:
        from PIL import Image
    except ImportError:
        raise MissingExtraError("Pillow", "humans", "--masks auto") from None
    paths = [scratch / f"{number}.png" for number in range(1, len(masks) + 1)]
    for mask, path in zip(masks, paths, strict=True):
        Image.fromarray(np.where(mask, 255, 0).astype(np.uint8)).save(path)
    return paths
