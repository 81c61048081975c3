"""The sheet of generated pictures in a report."""

import io
import re
from base64 import b64decode
from pathlib import Path

import numpy as np
from PIL import Image

from fedloom.data.records import Picture, Provenance
from fedloom.federation.bodies import ShownPicture
from fedloom.measures import SHARE, Measure
from fedloom.report.generated import sheet
from fedloom.report.record import Event, RunRecord
from fedloom.report.written import alerts, rows_of_measures


def shown(label, provenance, pixels):
    return {"client": "ann", **vars(ShownPicture.of(Picture(pixels, label, provenance)))}


def test_the_sheet_shows_the_very_pixels_of_own_and_generated_pictures():
    stream = np.random.default_rng(0)
    grey, colours = stream.integers(0, 256, (4, 4, 1), dtype=np.uint8), stream.integers(0, 256, (5, 3, 3), dtype=np.uint8)
    pictures = (shown("<cat>", Provenance.PUBLIC, grey), shown("<cat>", Provenance.SYNTHETIC, colours))
    html = sheet(RunRecord(Path("run"), {}, pictures=pictures))
    images = [np.asarray(Image.open(io.BytesIO(b64decode(one)))) for one in re.findall(r"base64,([^\"]+)", html)]
    assert np.array_equal(images[0], grey[:, :, 0])
    assert np.array_equal(images[1], colours)
    assert re.findall(r'alt="([^"]+)"', html) == ["&lt;cat&gt;, own", "&lt;cat&gt;, generated"]


def test_a_large_picture_is_shown_smaller_and_a_damaged_one_not_at_all():
    large = ShownPicture.of(Picture(np.zeros((200, 100, 3), np.uint8), "cat", Provenance.PUBLIC))
    assert large.size == "50 25 3"
    damaged = {"client": "ann", "label": "cat", "made": "no", "size": "5 5 1", "pixels": "AAAA"}
    assert sheet(RunRecord(Path("run"), {}, pictures=(damaged,))) == ""


def test_shares_of_clients_are_averaged_counts_added_up_and_what_must_not_be_missed_is_said():
    near = Measure("near", "near copies", SHARE, alert=0.2, note="raise strength")
    declared = {"prepare": [near.plain(), Measure("made", "rows made", "count", "neither").plain()]}
    values = {"ann": (0.1, 3), "bob": (0.5, 4)}
    events = [
        Event(0, who, f"prepare/fedgc/{name}", value)
        for who, two in values.items()
        for name, value in zip(("near", "made"), two, strict=True)
    ]
    clients = {"clients": [{"client": who, "train": 1} for who in values]}
    record = RunRecord(Path("run"), {}, {"measures": declared, "data": clients}, metrics=tuple(events))
    assert dict(rows_of_measures(record)) == {"near copies": ["10.0%", "50.0%", "30.0%"], "rows made": ["3", "4", "7"]}
    assert alerts(record) == ["client bob: near copies: 50.0%; raise strength"]
