"""An optional library that is absent is answered with an extra that there is."""

import re
import tomllib
from pathlib import Path

from fedloom.errors import MissingExtraError

ROOT = Path(__file__).parents[1]


def test_every_extra_that_an_error_names_can_be_installed():
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    sources = [path.read_text() for path in (ROOT / "src").rglob("*.py")]
    named = {extra for source in sources for extra in re.findall(r'MissingExtraError\("[^"]+", "([^"]+)"', source)}
    assert len(named) > 5
    assert named <= extras.keys()
    for extra in named:
        assert f"`{extra}`" in (ROOT / "README.md").read_text()


def test_the_error_says_what_to_install():
    assert str(MissingExtraError("Pillow", "pictures", "reading a.png")) == (
        "reading a.png needs Pillow, which is not installed: pip install 'fedloom[pictures]'"
    )
