"""Parsing pictures for captures that have none."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np

from fedloom.data.capture_layouts import own, read_person
from fedloom.data.capture_layouts.person_folder import PLACES
from fedloom.data.capture_pictures import colours_of, mask_of
from fedloom.data.records import View
from fedloom.errors import DataError
from fedloom.files import write_atomic
from fedloom.humans.capture_import import save_picture
from fedloom.humans.parser import Parses


def parse_person(person: Path, parser: Parses) -> int:
    """Write what `parser` sees into the folder of a person, for the views without a parsing, and note it in cameras.json; how many they
    were.

    Raises DataError for a folder of another layout, and for a view without a mask, before anything is written.
    """
    found = read_person(person)
    if found.layout != own.NAME:
        raise DataError(
            f"{person}: is of another layout ({found.layout}), which has no place for parsings; make a copy:"
            f" fedloom humans capture import {person} --out FOLDER"
        )
    missing = [(place, view) for place, view in enumerate(found.views) if view.parsing is None]
    masks = [_mask(view) for _, view in missing]
    (file,) = found.cameras
    content = json.loads(file.read_text(encoding="utf-8-sig"))
    for (place, view), mask in zip(missing, masks, strict=True):
        name = f"{PLACES[2]}/{place + 1:02d}.png"
        save_picture(parser.parse(colours_of(view), mask).argmax(axis=2).astype(np.uint8), person / name)
        content["views"][place]["parsing"] = name
    if missing:
        write_atomic(file, json.dumps(content, indent=1, ensure_ascii=False) + "\n")
    return len(missing)


def _mask(view: View) -> np.ndarray:
    mask = mask_of(view)
    if mask is None or not mask.any():
        raise DataError(f"{view.image}: has no mask, or an empty one, and is parsed inside of it alone; import it with --masks auto")
    return mask
