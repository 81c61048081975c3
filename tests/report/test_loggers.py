"""Metrics that go beside the run folder."""

from __future__ import annotations

import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest
from run_folders import event, recipe

from fedloom.errors import MissingExtraError
from fedloom.report.loggers import loggers

EVENTS = [
    event("train/loss", 2.5, 1, "clinic 1: ünï"),
    event("train/loss", 2.0, 1),
    event("held_out/base/loss", 3.0, 0),
    event("done", 1.0),
]


def test_tensorboard_holds_every_metric_by_round(tmp_path: Path) -> None:
    accumulator = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    logger = loggers.get("tensorboard")(tmp_path, "run", recipe())
    for item in EVENTS:
        logger.log(item)
    logger.close()
    read = accumulator.EventAccumulator(str(tmp_path / "tensorboard"))
    read.Reload()
    assert [(scalar.step, scalar.value) for scalar in read.Scalars("train/loss")] == [(1, 2.0)]
    assert [(scalar.step, scalar.value) for scalar in read.Scalars("train/loss/clinic 1: ünï")] == [(1, 2.5)]
    assert [scalar.step for scalar in read.Scalars("held_out/base/loss")] == [0]


class FakeMlflowClient:
    """Keeps what MLflow would be told."""

    made: list[FakeMlflowClient] = []  # noqa: RUF012

    def __init__(self, tracking_uri: str) -> None:
        self.tracking_uri, self.params, self.metrics, self.ended = tracking_uri, {}, [], []
        self.made.append(self)

    def get_experiment_by_name(self, name: str) -> None:
        return None

    def create_experiment(self, name: str) -> str:
        return f"id of {name}"

    def create_run(self, experiment_id: str, run_name: str) -> SimpleNamespace:
        return SimpleNamespace(info=SimpleNamespace(run_id=f"{run_name} in {experiment_id}"))

    def log_param(self, run_id: str, key: str, value: str) -> None:
        self.params[key] = value

    def log_metric(self, run_id: str, key: str, value: float, step: int) -> None:
        self.metrics.append((run_id, key, value, step))

    def set_terminated(self, run_id: str) -> None:
        self.ended.append(run_id)


@pytest.fixture
def mlflow(monkeypatch: pytest.MonkeyPatch) -> type[FakeMlflowClient]:
    tracking = ModuleType("mlflow.tracking")
    tracking.MlflowClient = FakeMlflowClient
    monkeypatch.setitem(sys.modules, "mlflow", ModuleType("mlflow"))
    monkeypatch.setitem(sys.modules, "mlflow.tracking", tracking)
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    return FakeMlflowClient


def test_mlflow_is_told_the_recipe_and_every_metric(mlflow: type[FakeMlflowClient], tmp_path: Path) -> None:
    logger = loggers.get("mlflow")(tmp_path, "run", recipe())
    for item in EVENTS:
        logger.log(item)
    logger.close()
    client = mlflow.made[-1]
    run = "run in id of fedloom"
    assert client.tracking_uri == f"sqlite:///{tmp_path / 'mlruns' / 'mlflow.db'}"
    assert (tmp_path / "mlruns").is_dir()
    assert client.params["algorithm.name"] == "fedavg"
    assert client.metrics[0] == (run, "train/loss/clinic 1_ ünï", 2.5, 1)
    assert client.metrics[2:] == [(run, "held_out/base/loss", 3.0, 0), (run, "done", 1.0, 0)]
    assert client.ended == [run]


def test_mlflow_goes_where_its_variable_points(mlflow: type[FakeMlflowClient], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://localhost:5000")
    loggers.get("mlflow")(tmp_path, "run", recipe())
    assert mlflow.made[-1].tracking_uri == "http://localhost:5000"


def test_wandb_is_told_the_recipe_and_every_metric(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[Any] = []
    run = SimpleNamespace(
        define_metric=lambda name, step_metric: told.append((name, step_metric)),
        log=told.append,
        finish=lambda: told.append("finished"),
    )
    wandb = ModuleType("wandb")
    wandb.init = lambda **settings: told.append(settings) or run
    monkeypatch.setitem(sys.modules, "wandb", wandb)
    monkeypatch.delenv("WANDB_PROJECT", raising=False)
    logger = loggers.get("wandb")(tmp_path, "four-owners", recipe())
    for item in EVENTS[1:3]:
        logger.log(item)
    logger.close()
    assert told == [
        {"project": "fedloom", "name": "four-owners", "dir": str(tmp_path), "config": recipe()},
        ("*", "round"),
        {"train/loss": 2.0, "round": 1},
        {"held_out/base/loss": 3.0, "round": 0},
        "finished",
    ]


@pytest.mark.parametrize(
    ("name", "module"), [("tensorboard", "torch.utils.tensorboard"), ("mlflow", "mlflow.tracking"), ("wandb", "wandb")]
)
def test_an_absent_library_names_the_extra(name: str, module: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(MissingExtraError, match=rf"the logger '{name}' needs {name}.*pip install 'fedloom\[{name}\]'"):
        loggers.get(name)(tmp_path, "run", recipe())


def test_the_loggers_are_known_by_name() -> None:
    assert {"mlflow", "tensorboard", "wandb"} <= set(loggers.names())  # other tests register loggers of their own
