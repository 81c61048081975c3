"""An attacked run, and the server side of a recipe without a run: what probes and repairs work with."""

import pytest
from attacked_runs import QUICK

import fedloom
from fedloom.hooks import ServerSide
from fedloom.local_run import bench_plan
from fedloom.models.bench import make_bench
from fedloom.resolve import load_recipe


@pytest.fixture
def server_of():
    """A function from a recipe, or a preset with overrides, to its ServerSide with a model of its own."""

    def made(source, overrides=None):
        recipe = load_recipe(source, overrides)
        bench = make_bench(bench_plan(recipe))
        return ServerSide(recipe, bench, bench.parameters.state())

    return made


@pytest.fixture(scope="session")
def attacked(tmp_path_factory):
    """A finished attacked run without a repair of its own, which tests may look at but not change."""
    return fedloom.run("safety_tiny", tmp_path_factory.mktemp("runs") / "attacked", **QUICK, finish=[])
