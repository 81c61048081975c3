"""The page of people in 3D: what it holds, and what a browser shows of it."""

import base64
import json
import re
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
from layered_person import layers
from skimage.io import imread

import fedloom.humans.viewer as viewer
from fedloom.humans.appearance import PaintedLayer
from fedloom.humans.glb import glb_bytes
from fedloom.humans.viewer import page, viewer_page

CHROMIUM = shutil.which("chromium")
FLAGS = ("--headless", "--no-sandbox", "--use-gl=angle", "--use-angle=swiftshader", "--enable-unsafe-swiftshader", "--hide-scrollbars")
WIDTH, HEIGHT = 900, 700


def people_in(text):
    (held,) = re.findall(r'<script id="people" type="application/json">(.*?)</script>', text, re.DOTALL)
    return json.loads(held)


def test_the_page_holds_the_given_bytes_under_their_names(tmp_path):
    given = {"Before": bytes(range(256)), "After </script><b>": b"glTF"}
    viewer_page(given, tmp_path / "page.html")
    text = (tmp_path / "page.html").read_text()
    assert {one["name"]: base64.b64decode(one["glb"]) for one in people_in(text)} == given
    assert "<title>Before, After &lt;/script&gt;&lt;b&gt; - Fedloom</title>" in text
    assert "</script><b>" not in text


def test_the_page_has_no_address_outside_and_forbids_every_connection():
    text = page({"Anna": b"glTF"})
    addresses = set(re.findall(r"https?://[^\s\"'`)]+", text))
    assert addresses == {"http://www.w3.org/1999/xhtml"}  # the name of a language, which nobody fetches
    assert not re.search(r"<(?:script|img|iframe|link)[^>]*\s(?:src|href)=", text)
    assert "default-src 'none'" in text


def test_one_person_is_the_heading_and_several_have_tabs():
    assert "<h1>Anna &amp; co</h1>" in page({"Anna & co": b""})
    assert f"<h1>{viewer.HEADING}</h1>" in page({"Before": b"", "After": b""})


def test_the_library_on_the_page_comes_with_its_licence():
    assets = Path(viewer.__file__).parent / "assets"
    assert "Permission is hereby granted, free of charge" in (assets / "three.min.js").read_text()[:2000]
    assert "The MIT License" in (assets / "three.LICENSE.txt").read_text()


@pytest.mark.slow
@pytest.mark.skipif(CHROMIUM is None, reason="needs Chromium")
def test_a_browser_shows_garments_in_colour_and_a_body_alone_as_a_mannequin(tmp_path):
    held = page({"Anna": glb_bytes({name: PaintedLayer(mesh) for name, mesh in layers(0.03).items()})})
    dressed = shown(held, "", tmp_path)
    assert (tint(dressed) > 60).sum() > 2000
    off = "for (const name of ['hair', 'upper', 'lower', 'shoes']) document.querySelector(`[data-layer=${name}]`).click();"
    bare = shown(held, f"document.getElementById('skin').click(); {off}", tmp_path)
    assert (bare < 225).all(axis=2).sum() > 2000  # somebody stands there
    assert tint(bare).max() < 20


def shown(text, actions, folder):
    """The pixels of the 3D view when `actions` were done on the page."""
    (folder / "page.html").write_text(text.replace("</body>", f"<script>setTimeout(() => {{ {actions} }}, 1500)</script></body>"))
    command = [CHROMIUM, *FLAGS, f"--window-size={WIDTH},{HEIGHT}", "--virtual-time-budget=6000", f"--user-data-dir={folder / 'browser'}"]
    subprocess.run([*command, f"--screenshot={folder / 'shot.png'}", f"file://{folder / 'page.html'}"], check=True, capture_output=True)
    return imread(folder / "shot.png")[80:-40, 40 : WIDTH - 340, :3].astype(int)


def tint(pixels):
    return np.ptp(pixels, axis=2)
