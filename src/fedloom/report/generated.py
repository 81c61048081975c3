"""Pictures that prepare steps generated, in a report: for each class some of the clients' own beside them, of clients with public rows."""

from __future__ import annotations

from base64 import b64decode, b64encode
from binascii import Error
from collections.abc import Mapping
from io import BytesIO

import numpy as np

from fedloom.report.markup import Html, row, table, tag
from fedloom.report.record import RunRecord

MOST = 8
"""Pictures of a kind and a class that are shown."""


def sheet(record: RunRecord) -> Html:
    """A row for each class: own pictures, and generated ones; empty for a run without such pictures."""
    classes: dict[str, tuple[list[Html], list[Html]]] = {}
    for shown in record.pictures:
        image = _image(shown)
        if image is not None:
            own, made = classes.setdefault(shown["label"], ([], []))
            (made if shown.get("made") == "yes" else own).append(image)
    if not classes:
        return Html()
    rows = [row(label, [_cell(own), _cell(made)]) for label, (own, made) in sorted(classes.items())]
    about = tag("p", "Own pictures beside generated ones, of clients all of whose rows are public.")
    return Html(about + table("own and generated pictures", ["class", "own", "generated"], rows))


def _cell(images: list[Html]) -> Html:
    """The first of `images`, from as many clients as there are: each client has sent a few of each class."""
    return tag("td", images[:MOST], class_="pictures")


def _image(shown: Mapping[str, str]) -> Html | None:
    """An `<img>` that holds its picture itself; None for one that is damaged."""
    from PIL import Image  # matplotlib, which draws the plots, needs it too

    try:
        shape = tuple(map(int, shown["size"].split()))
        pixels = np.frombuffer(b64decode(shown["pixels"], validate=True), dtype=np.uint8).reshape(shape)
        Image.fromarray(pixels[:, :, 0] if pixels.shape[2] == 1 else pixels).save(written := BytesIO(), format="PNG")
    except (KeyError, ValueError, TypeError, IndexError, Error):
        return None
    source = f"data:image/png;base64,{b64encode(written.getvalue()).decode('ascii')}"
    return tag("img", src=source, alt=f"{shown.get('label')}, {'generated' if shown.get('made') == 'yes' else 'own'}")
