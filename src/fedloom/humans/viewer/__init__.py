"""A page that shows dressed people in 3D, layer by layer: one HTML file that needs no network and no other file."""

from __future__ import annotations

import base64
import html
import json
from collections.abc import Mapping
from pathlib import Path

from fedloom.files import write_atomic

HERE = Path(__file__).parent

HEADING = "Dressed people in layers"
"""The heading of a page of several people, which have their names on tabs."""


def viewer_page(people: Mapping[str, bytes], path: Path) -> None:
    """Write the page of `people`, name -> GLB as `glb.glb_bytes` gives it, to `path`, for its owner alone.

    Each is a tab: several people, or one before and after a change of clothes. The page keeps the choice of layers between tabs, and the
    view once it was turned. It shows the body as a mannequin.
    """
    write_atomic(path, page(people), private=True)


def page(people: Mapping[str, bytes]) -> str:
    """The page as HTML. Its policy forbids the browser every connection."""
    held = json.dumps([{"name": name, "glb": base64.b64encode(glb).decode()} for name, glb in people.items()])
    parts = {
        "title": html.escape(", ".join(people)),
        "heading": html.escape(next(iter(people))) if len(people) == 1 else HEADING,
        "style": _text("page.css"),
        "people": held.replace("<", "\\u003c"),
        "three": _text("assets/three.min.js"),
        "script": _text("page.js"),
    }
    before, *rest = _text("page.html").split("{{")
    return before + "".join(parts[name] + after for name, _, after in (piece.partition("}}") for piece in rest))


def _text(name: str) -> str:
    return (HERE / name).read_text(encoding="utf-8")
