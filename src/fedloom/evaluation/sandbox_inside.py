"""What `fedloom.evaluation.sandbox` starts, without Fedloom: shut itself in, then run the program that comes on standard input.

Namespaces of its own (user, mounts, network, processes, names, messages) and a root folder that holds Python and the system's libraries,
read-only, and an empty /tmp; no right of its user is left, and limits stand. Once the program has come to its end, the last line of
standard input is written to standard output.

The user's environment is not there; the program may import the packages in the folders `packages`.
"""

import ctypes
import json
import os
import resource
import signal
import sys
from collections.abc import Sequence
from typing import Any

NEW_MOUNTS, NEW_NAMES, NEW_MESSAGES, NEW_USER, NEW_PROCESSES, NEW_NETWORK = (
    0x20000,
    0x4000000,
    0x8000000,
    0x10000000,
    0x20000000,
    0x40000000,
)
BIND, RECURSIVE, PRIVATE, READ_ONLY, NO_SUID, NO_DEVICES, DETACH = 4096, 16384, 1 << 18, 1, 2, 4, 2
MOUNT_SETATTR, PIVOT_ROOT = 442, 155 if os.uname().machine == "x86_64" else 41
AT_FDCWD, AT_RECURSIVE = -100, 0x8000
NO_NEW_PRIVILEGES, DIE_WITH_PARENT, DUMPABLE = 38, 1, 4
NOBODY = 65534

libc = ctypes.CDLL(None, use_errno=True)

RUN = """
import os, sys
program, _, word = sys.stdin.read().rpartition("\\n")
said, nowhere = os.dup(1), os.open("/tmp/.nowhere", os.O_WRONLY | os.O_CREAT)
sys.stdin.close()
os.dup2(nowhere, 1), os.dup2(nowhere, 2)
sys.path.extend(sys.argv[1:])
exec(compile(program, "program", "exec"), {})
os.write(said, word.encode())
"""


def main() -> None:
    """`sandbox_inside.py ROOT LIMITS`: an empty folder, and the limits as JSON."""
    root, limits, python = sys.argv[1], json.loads(sys.argv[2]), os.path.realpath(sys.executable)
    user, group = os.getuid(), os.getgid()
    rooted = user == 0  # who needs no namespace to make others, and must not be who runs the program: few limits apply to him
    _call(libc.unshare, (0 if rooted else NEW_USER) | NEW_MOUNTS | NEW_NETWORK | NEW_PROCESSES | NEW_NAMES | NEW_MESSAGES)
    if not rooted:
        _map_user(user, group)
    _call(libc.prctl, DIE_WITH_PARENT, signal.SIGKILL, 0, 0, 0)
    child = os.fork()
    if child:
        os._exit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) & 0xFF)
    _shut_in(root, [*_of_python(), *limits["packages"]], limits["disk"])
    if rooted:
        _become_nobody()
    with open("/proc/sys/user/max_user_namespaces", "w") as file:
        file.write("0")
    _limit(limits)
    _call(libc.prctl, NO_NEW_PRIVILEGES, 1, 0, 0, 0)
    _call(libc.prctl, DIE_WITH_PARENT, signal.SIGKILL, 0, 0, 0)
    os.execve(
        python, [python, "-I", "-S", "-c", RUN, *limits["packages"]], {"HOME": "/tmp", "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
    )


def _become_nobody() -> None:
    os.setgroups([])
    os.setresgid(NOBODY, NOBODY, NOBODY)
    os.setresuid(NOBODY, NOBODY, NOBODY)
    _call(libc.prctl, DUMPABLE, 1, 0, 0, 0)  # so that the files of the process in /proc are its user's
    _call(libc.unshare, NEW_USER)
    _map_user(NOBODY, NOBODY)


def _map_user(user: int, group: int) -> None:
    """In a new namespace of users, be the same user."""
    for name, line in (("setgroups", "deny"), ("uid_map", f"{user} {user} 1"), ("gid_map", f"{group} {group} 1")):
        with open(f"/proc/self/{name}", "w") as file:
            file.write(line)


def _of_python() -> Sequence[str]:
    """The folders without which Python does not start."""
    known = {"/lib", "/lib64", "/usr/lib", "/usr/lib64", "/usr/local/lib", *map(os.path.realpath, _prefixes())}
    return sorted(folder for folder in known if os.path.isdir(folder))


def _prefixes() -> Sequence[str]:
    return [os.path.dirname(os.path.realpath(sys.executable)), os.path.dirname(os.__file__), os.path.join(sys.base_prefix, "lib")]


def _shut_in(root: str, folders: Sequence[str], disk: int) -> None:
    """Make a root folder of `folders`, read-only, and of an empty /tmp of `disk` bytes."""
    os.umask(0o022)
    _mount("none", "/", "", RECURSIVE | PRIVATE)
    _mount("none", root, "tmpfs", NO_SUID | NO_DEVICES, "size=1m,mode=755")
    for name in ("proc", "tmp", "old"):
        os.mkdir(f"{root}/{name}")
    _mount("none", f"{root}/tmp", "tmpfs", NO_SUID | NO_DEVICES, f"size={disk},mode=777")
    _mount("none", f"{root}/proc", "proc", NO_SUID | NO_DEVICES)
    for folder in folders:
        os.makedirs(root + folder, exist_ok=True)
        _mount(folder, root + folder, "", BIND | RECURSIVE)
        _make_read_only(root + folder, AT_RECURSIVE)
    _make_read_only(root, 0)
    _call(libc.syscall, PIVOT_ROOT, root.encode(), f"{root}/old".encode())
    os.chdir("/tmp")
    _call(libc.umount2, b"/old", DETACH)


def _make_read_only(folder: str, flags: int) -> None:
    attributes = (ctypes.c_uint64 * 4)(READ_ONLY | NO_SUID | NO_DEVICES, 0, 0, 0)
    _call(libc.syscall, MOUNT_SETATTR, AT_FDCWD, folder.encode(), flags, ctypes.byref(attributes), ctypes.sizeof(attributes))


def _limit(limits: dict[str, Any]) -> None:
    for name, limit in (
        (resource.RLIMIT_CPU, limits["seconds"]),
        (resource.RLIMIT_AS, limits["memory"]),
        (resource.RLIMIT_FSIZE, limits["disk"]),
        (resource.RLIMIT_NPROC, limits["processes"]),
        (resource.RLIMIT_NOFILE, 64),
        (resource.RLIMIT_CORE, 0),
    ):
        resource.setrlimit(name, (limit, limit))


def _mount(source: str, target: str, kind: str, flags: int, data: str = "") -> None:
    _call(libc.mount, source.encode(), target.encode(), kind.encode(), ctypes.c_ulong(flags), data.encode())


def _call(function: "ctypes._NamedFuncPointer", *given: object) -> None:
    if function(*given) < 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))


if __name__ == "__main__":
    main()
