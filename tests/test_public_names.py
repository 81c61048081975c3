"""The names of the library, whatever was imported before them."""

import subprocess
import sys

import fedloom

BEFORE = ("fedloom.run", "fedloom.read", "from fedloom.run import read", "import fedloom.run", "import fedloom.chat")
EACH_FRESH = """
import os, sys, traceback
import peft, torch, transformers  # once for all: what takes long to import
for before in sys.argv[1:]:
    child = os.fork()
    if not child:
        try:
            exec(f"import fedloom; {before}; assert fedloom.run.__name__ == 'run', fedloom.run")
            exec("from fedloom import run; assert run is fedloom.run")
        except BaseException:
            traceback.print_exc()
            os._exit(1)
        os._exit(0)
    if os.waitpid(child, 0)[1]:
        sys.exit(before)
"""


def test_run_is_the_function_whatever_came_before_it():
    done = subprocess.run([sys.executable, "-c", EACH_FRESH, *BEFORE], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_every_public_name_is_there():
    assert all(getattr(fedloom, name) is not None for name in fedloom.__all__)


def test_importing_the_package_loads_no_torch():
    done = subprocess.run([sys.executable, "-c", "import fedloom, sys; sys.exit('torch' in sys.modules)"], check=False)
    assert done.returncode == 0
