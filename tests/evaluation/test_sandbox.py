"""Programs that a model wrote run where they can harm nothing, and count as failed when they try."""

import os
import socket
import subprocess
import time

import pytest

from fedloom.errors import RecipeError
from fedloom.evaluation import sandbox
from fedloom.evaluation.sandbox import CodeEval, Limits, check_sandbox, pass_at_k, passes

SHORT = Limits(seconds=3)


def shut_in():
    try:
        check_sandbox()
    except RecipeError:
        return False
    return True


pytestmark = pytest.mark.skipif(not shut_in(), reason="this machine lets nobody make namespaces")


@pytest.mark.parametrize(
    "program", ["assert sorted([2, 1]) == [1, 2]", "print('said')\nopen('note', 'w').write('x')", "import json, math, re"]
)
def test_a_program_that_comes_to_its_end_passes(program):
    assert passes(program)


@pytest.mark.parametrize(
    "program",
    [
        "assert 1 == 2",
        "def (",
        "raise SystemExit(0)",
        "import os; os._exit(0)",
        "allocated = bytearray(10 << 30)",
        "open('large', 'wb').write(bytes(100 << 20))",
        "open('/usr/lib/planted', 'w')",
        "import ctypes; assert ctypes.CDLL(None).mount(b'none', b'/tmp', b'tmpfs', 0, b'') == 0",
        "import ctypes; assert ctypes.CDLL(None).unshare(0x10000000) == 0",
    ],
)
def test_a_program_that_fails_or_ends_itself_or_takes_too_much_does_not(program):
    assert not passes(program, SHORT)


def test_no_connection_comes_out(tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(0.2)
        assert not passes(f"import socket; socket.create_connection(('127.0.0.1', {server.getsockname()[1]}), 1)", SHORT)
        with pytest.raises(TimeoutError):
            server.accept()


def test_the_users_files_are_not_even_seen(tmp_path):
    secret = tmp_path / "secret"
    secret.write_text("mine")
    assert not passes(f"open({str(secret)!r}).read()")
    assert not passes(f"open({str(tmp_path / 'planted')!r}, 'w').write('x')")
    assert not passes(f"open({os.path.expanduser('~/planted')!r}, 'w').write('x')")
    assert passes("import os; assert set(os.environ) <= {'LC_CTYPE', 'HOME', 'OMP_NUM_THREADS', 'OPENBLAS_NUM_THREADS'}")
    assert [path.name for path in tmp_path.iterdir()] == ["secret"]


@pytest.mark.parametrize(
    "program", ["import time; time.sleep(1000)", "while True: pass", "import os\nwhile True:\n try: os.fork()\n except OSError: pass"]
)
def test_a_program_without_end_is_killed_with_all_that_it_started(program):
    began = time.monotonic()
    assert not passes(f"{program} # endless-{os.getpid()}", Limits(seconds=1))
    assert time.monotonic() - began < 10
    assert "import os, sys\nprogram" not in subprocess.run(["ps", "-eo", "args"], capture_output=True, text=True).stdout.replace(
        "\\n", "\n"
    )


def test_the_chance_of_one_right_program_is_that_of_chen_and_others():
    assert pass_at_k(5, 0, 3) == 0
    assert pass_at_k(5, 2, 1) == pytest.approx(2 / 5)
    assert pass_at_k(5, 2, 3) == pytest.approx(1 - 1 / 10)  # C(3, 3) / C(5, 3)
    assert pass_at_k(4, 3, 2) == 1


def test_the_metric_of_programs_counts_those_whose_tests_pass():
    add = "def add(a, b):\n    return a {} b"
    means, right = CodeEval().compute(
        ["assert add(2, 3) == 5", "assert add(2, 2) == 4"], [[add.format("+"), add.format("-")], [add.format("*")]]
    )
    assert right == {0: [True, False], 1: [True]}
    assert means == {"pass@1": pytest.approx((0.5 + 1) / 2)}


def test_a_machine_that_cannot_shut_programs_in_runs_none(monkeypatch):
    monkeypatch.setattr(sandbox, "passes", lambda *_: False)
    with pytest.raises(RecipeError, match=r"^run_code: this machine lets nobody make namespaces of his own"):
        check_sandbox()
    monkeypatch.setattr(sandbox.sys, "platform", "darwin")
    with pytest.raises(RecipeError, match=r"^run_code: programs are shut in by Linux alone"):
        check_sandbox()
