"""The Ray engine: the same bytes as the local one, and a dead actor costs nothing but time."""

import os
import signal
import sys

import pytest
import ray

import fedloom
from fedloom.errors import MissingExtraError
from fedloom.federation.engines import ray as ray_engine

pytestmark = pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::pytest.PytestUnraisableExceptionWarning")  # of Ray's own

SMALL = {"federation.rounds": 2, "task.steps": 1, "evaluate.baselines": [], "evaluate.samples": 0, "evaluate.every": 2}
ON_RAY = SMALL | {"federation.engine": "ray", "federation.workers": 2}


@pytest.fixture(scope="module", autouse=True)
def cluster():
    """One small cluster for all tests: starting it takes longer than they do."""
    ray.init(num_cpus=2, include_dashboard=False, log_to_driver=False, configure_logging=False)
    ray.cloudpickle.register_pickle_by_value(sys.modules[__name__])  # actors cannot import a test module
    yield
    ray.shutdown()


def test_two_actors_end_in_the_bytes_of_the_local_engine(tmp_path):
    local = fedloom.run("tiny", tmp_path / "local", **SMALL)
    on_ray = fedloom.run("tiny", tmp_path / "ray", **ON_RAY)
    assert on_ray.adapter_sha256 == local.adapter_sha256
    assert on_ray.metrics == local.metrics


class DiesOnce(ray_engine.RayBench):
    """An actor that kills itself over the first job it is given, as long as the file `trigger` is there."""

    trigger = ""

    def do(self, job):
        try:
            os.unlink(self.trigger)
        except FileNotFoundError:
            return super().do(job)
        os.kill(os.getpid(), signal.SIGKILL)


def test_a_dead_actor_is_replaced_and_its_client_done_again(tmp_path, monkeypatch):
    trigger = tmp_path / "die"
    trigger.touch()
    monkeypatch.setattr(DiesOnce, "trigger", str(trigger))
    monkeypatch.setattr(ray_engine, "RayBench", DiesOnce)
    survived = fedloom.run("tiny", tmp_path / "ray", **ON_RAY)
    assert not trigger.exists()
    undisturbed = fedloom.run("tiny", tmp_path / "local", **SMALL)
    assert survived.adapter_sha256 == undisturbed.adapter_sha256


def test_without_ray_the_extra_is_named(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(MissingExtraError, match=r"fedloom\[ray\]"):
        fedloom.run("tiny", tmp_path / "ray", **ON_RAY)
