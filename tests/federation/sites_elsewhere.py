"""Sites in processes of their own, and a server that speaks to them through plain pipes and may open none of their files.

    python sites_elsewhere.py site NAME FOLDER    answers messages from standard input on standard output
    python sites_elsewhere.py server OUT FOLDER NAME...

The server prints the hash of the joined state. It ends with an error as soon as it opens a file below FOLDER.
"""

import json
import os
import struct
import subprocess
import sys
from pathlib import Path

RECIPE = {
    "name": "elsewhere",
    "model": {"id": "tiny-llama", "adapter": {"rank": 4}},
    "data": {"partition": {"kind": "by_source"}, "held_out": 0.25, "max_length": 96},
    "task": {"kind": "sft", "batch_size": 4, "steps": 2, "learning_rate": 5.0e-3},
    "algorithm": {"name": "scaffold"},
    "federation": {"rounds": 3, "quorum": 2, "codec": "int8"},
    "evaluate": {"every": 1, "baselines": ["base"], "samples": 0},
}


def read_block(stream):
    header = stream.read(4)
    return stream.read(struct.unpack("<I", header)[0]) if len(header) == 4 else None


def write_block(stream, block):
    stream.write(struct.pack("<I", len(block)) + block)
    stream.flush()


def site(name, folder):
    os.environ["FEDLOOM_HOME"] = str(folder / "home")
    from fedloom.data.clients import build_clients
    from fedloom.federation.bodies import Holding
    from fedloom.federation.site import Site, SiteData
    from fedloom.local_run import bench_plan
    from fedloom.models.bench import make_bench
    from fedloom.resolve import load_recipe

    recipe = load_recipe(RECIPE, {"data.source": str(folder / "rows")})
    (own,) = build_clients(recipe.data, None, recipe.seed).clients
    holding = Holding({"train": len(own.train), "held_out": len(own.held_out)})
    bench = make_bench(bench_plan(recipe))
    data = SiteData(own.train, own.held_out, holding, bench.parameters.state())
    resident = Site(name, folder / "site", bench, lambda: data)
    while (message := read_block(sys.stdin.buffer)) is not None:
        write_block(sys.stdout.buffer, resident.answer(message))


class Pipes:
    """An engine: a pipe to the process of every site."""

    def __init__(self, names, folder):
        self._processes = {
            name: subprocess.Popen(
                [sys.executable, __file__, "site", name, str(folder / name)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
            )
            for name in names
        }

    def clients(self):
        return tuple(self._processes)

    def dispatch(self, assignments, deadline):
        from fedloom.federation.engine import Reply

        asked = []
        for assignment in assignments:
            write_block(self._processes[assignment.client].stdin, assignment.message)
            asked.append(assignment.client)
        for client in asked:
            yield Reply(client, read_block(self._processes[client].stdout))

    def late_replies(self, round_number):
        return iter(())

    def close(self):
        for process in self._processes.values():
            process.stdin.close()
            process.wait(timeout=60)
            process.stdout.close()


def server(out, folder, names):
    from fedloom.agreed import agree
    from fedloom.federation.opening import open_federation
    from fedloom.federation.rounds import Federation, run_rounds
    from fedloom.federation.run_folder import RunFolder
    from fedloom.local_run import bench_plan
    from fedloom.models.bench import make_bench
    from fedloom.resolve import load_recipe

    engine = Pipes(names, folder)
    forbid(folder)
    recipe = load_recipe(RECIPE, {"data.source": "tiny-demo"})
    bench = make_bench(bench_plan(recipe))
    run_folder = RunFolder(out)
    agreed = agree(recipe, bench, len(names))
    federation = Federation(recipe.federation, agreed, engine, run_folder, run_folder.run_id(), 1, names, measure_start=True)
    opened = open_federation(federation)
    state = run_rounds(federation, bench.parameters.state())
    engine.close()
    print(json.dumps({"state": state.sha256(), "train": {name: report["train"] for name, report in opened.prepared.items()}}))


def forbid(folder):
    """From here on this process cannot open, list or look at anything below `folder`."""

    def refuse(event, arguments):
        if event in ("open", "os.listdir", "os.scandir") and str(arguments[0]).startswith(str(folder)):
            raise PermissionError(f"the server opened {arguments[0]}")

    sys.addaudithook(refuse)


if __name__ == "__main__":
    role, *words = sys.argv[1:]
    if role == "site":
        site(words[0], Path(words[1]))
    else:
        server(Path(words[0]), Path(words[1]), tuple(words[2:]))
