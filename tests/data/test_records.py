"""Records: what every kind has, and that none shows its content."""

from pathlib import Path

import numpy as np
import pytest

from fedloom.data.records import Capture, Conversation, Document, Picture, Provenance, Record, Turn, View

PRIVATE = Provenance.PRIVATE
PIXELS = np.full((2, 3, 1), 77, dtype=np.uint8)
RECORDS = {
    "conversation": (Conversation((Turn("user", "secret?"), Turn("assistant", "secret")), PRIVATE, {"ward": "secret"}), "secret"),
    "document": (Document("secret", PRIVATE, {"file": "secret.txt"}), ""),
    "picture": (Picture(PIXELS, "secret", PRIVATE, {"client": "secret"}), "secret"),
    "capture": (Capture((View(Path("secret.png"), {"K": "secret"}),), PRIVATE, {"client": "secret"}), ""),
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
    assert repr(View(Path("secret.png"), {"K": "secret"}, Path("secret-mask.png"))) == "View(with a mask)"


def test_pictures_are_equal_when_their_pixels_are():
    one = Picture(PIXELS, "a", PRIVATE)
    assert one == Picture(PIXELS.copy(), "a", PRIVATE)
    assert one != Picture(PIXELS + 1, "a", PRIVATE)
    assert one != Picture(PIXELS, "b", PRIVATE)
