"""The names of the library, whatever was imported before them."""

import subprocess
import sys

import pytest

import fedloom


@pytest.mark.parametrize(
    "before", ["fedloom.run", "fedloom.read", "from fedloom.run import read", "import fedloom.run", "import fedloom.chat"]
)
def test_run_is_the_function_whatever_came_before_it(before):
    code = (
        f"import fedloom; {before}; assert fedloom.run.__name__ == 'run', fedloom.run; from fedloom import run; assert run is fedloom.run"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_every_public_name_is_there():
    assert all(getattr(fedloom, name) is not None for name in fedloom.__all__)


def test_importing_the_package_loads_no_torch():
    done = subprocess.run([sys.executable, "-c", "import fedloom, sys; sys.exit('torch' in sys.modules)"], check=False)
    assert done.returncode == 0
