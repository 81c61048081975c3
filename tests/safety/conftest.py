"""The server side of a recipe, without a run: what probes and repairs work with."""

import pytest

from fedloom.hooks import ServerSide
from fedloom.local_run import bench_plan
from fedloom.models.bench import make_bench
from fedloom.resolve import load_recipe


@pytest.fixture
def server_of():
    """A function from a recipe, or a preset with overrides, to its ServerSide with a model of its own."""

    def made(source, overrides=None):
        recipe = load_recipe(source, overrides)
        return ServerSide(recipe, make_bench(bench_plan(recipe)))

    return made
