"""One finished run that tests may look at but not change."""

from __future__ import annotations

import pytest
from commands import fedloom, result


@pytest.fixture(scope="session")
def desk(tmp_path_factory):
    """A folder to work in."""
    return tmp_path_factory.mktemp("desk")


@pytest.fixture(scope="session")
def finished(desk):
    """The run of `fedloom run tiny rounds=2`, which every two rounds is measured and has answers before and after."""
    done = fedloom("run", "tiny", "rounds=2", "evaluate.baselines=[base,majority]", "--out", "finished", "--json", cwd=desk)
    result(done)
    return desk / "finished", done
