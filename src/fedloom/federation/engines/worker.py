"""A worker process: `python -m fedloom.federation.engines.worker FD`. Loads the model once, then does the jobs that it receives."""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
from multiprocessing.connection import Connection

import torch

from fedloom.federation.engines.workers import SitesOnBench
from fedloom.models.bench import make_bench
from fedloom.models.share import map_shared

READY = "ready"
"""What a worker says when it has loaded the model."""


def main() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the whole group; the run decides what becomes of us
    threading.Thread(target=_end_with, args=(os.getppid(),), daemon=True).start()
    line = Connection(int(sys.argv[1]))
    try:
        plan, folder, weights, threads = line.recv()
        torch.set_num_threads(threads)
        bench = make_bench(plan)
        map_shared(bench.model, weights)
        sites = SitesOnBench(bench, folder)
        line.send(READY)
        while True:
            line.send(sites.do(line.recv()))
    except (EOFError, ConnectionError):
        return


def _end_with(parent: int) -> None:
    """End this process when its parent has gone: a killed run cannot end its workers, which must not work beside a run that resumes it."""
    while os.getppid() == parent:
        time.sleep(0.5)
    os._exit(1)


if __name__ == "__main__":
    main()
