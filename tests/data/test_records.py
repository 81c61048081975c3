"""Records: what every kind has, and that none shows its content."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from capture_folders import camera

from fedloom.data.records import Capture, Conversation, Document, Picture, Provenance, Record, Turn, View, sha256_of_records

PRIVATE = Provenance.PRIVATE
PIXELS = np.full((2, 3, 1), 77, dtype=np.uint8)
RECORDS = {
    "conversation": (Conversation((Turn("user", "secret?"), Turn("assistant", "secret")), PRIVATE, {"ward": "secret"}), "secret"),
    "document": (Document("secret", PRIVATE, {"file": "secret.txt"}), ""),
    "picture": (Picture(PIXELS, "secret", PRIVATE, {"client": "secret"}), "secret"),
    "capture": (Capture((View(Path("secret.png"), camera(focal=77)),), PRIVATE, {"client": "secret"}), ""),
}


@pytest.mark.parametrize("kind", RECORDS)
def test_every_kind_has_provenance_fields_and_a_label_and_shows_no_content(kind):
    record, label = RECORDS[kind]
    assert isinstance(record, Record)
    assert (record.kind, record.provenance, record.label) == (kind, PRIVATE, label)
    assert len(record.fields) == 1
    assert "secret" not in repr(record)
    assert "77" not in repr(record)
    assert "private" in repr(record)


def test_a_view_shows_neither_its_file_nor_its_camera():
    assert repr(View(Path("secret.png"), camera(), Path("secret-mask.png"))) == "View(with a mask)"


def test_pictures_are_equal_when_their_pixels_are():
    one = Picture(PIXELS, "a", PRIVATE)
    assert one == Picture(PIXELS.copy(), "a", PRIVATE)
    assert one != Picture(PIXELS + 1, "a", PRIVATE)
    assert one != Picture(PIXELS, "b", PRIVATE)


def test_the_hash_of_records_covers_all_that_they_hold_and_the_bytes_of_their_files(tmp_path):
    photograph = tmp_path / "front.png"

    def records():
        photograph.write_bytes(b"pixels")
        capture = Capture((View(photograph, camera()),), PRIVATE, {"a": "1", "b": "2"})
        return [Document("text", PRIVATE), Picture(PIXELS, "a", PRIVATE), capture, RECORDS["conversation"][0]]

    hashes = [sha256_of_records(records()), sha256_of_records(reversed(records())), sha256_of_records(records()[:3])]
    for number, change in (
        (0, {"text": "texts"}),
        (0, {"provenance": Provenance.PUBLIC}),
        (1, {"label": "b"}),
        (1, {"pixels": PIXELS + 1}),
        (1, {"pixels": PIXELS.reshape(3, 2, 1)}),
        (2, {"fields": {"a": "1", "b": "3"}}),
        (2, {"views": (View(photograph, camera(focal=2)),)}),
        (3, {"turns": (Turn("user", "secret?"), Turn("assistant", "other"))}),
    ):
        changed = records()
        changed[number] = replace(changed[number], **change)
        hashes.append(sha256_of_records(changed))
    changed = records()
    photograph.write_bytes(b"others")
    hashes.append(sha256_of_records(changed))
    assert len(set(hashes)) == len(hashes)
    assert sha256_of_records(records()) == hashes[0]
    reordered = records()
    reordered[2] = replace(reordered[2], fields={"b": "2", "a": "1"})
    assert sha256_of_records(reordered) == hashes[0]
