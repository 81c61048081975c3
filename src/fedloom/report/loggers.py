"""Loggers: they send the metrics of a run to TensorBoard, MLflow or Weights & Biases. Each takes the same events as metrics.jsonl."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol

from fedloom.errors import MissingExtraError
from fedloom.registry import Registry
from fedloom.report.record import dotted


class MetricLogger(Protocol):
    """Takes the metrics of a run one by one. Raises MissingExtraError on construction when its library is not installed."""

    def __init__(self, run_folder: Path, run_name: str, recipe: dict[str, Any]) -> None: ...

    def log(self, event: Mapping[str, Any]) -> None:
        """Take one event {"round": int | None, "client": str | None, "name": str, "value": float}."""

    def close(self) -> None:
        """Write the events that have not been written yet."""


loggers: Registry[type[MetricLogger]] = Registry("logger")


@loggers.register("tensorboard")
class TensorBoard:
    """Scalars in `<run folder>/tensorboard`, by round. A client's metrics are named NAME/CLIENT."""

    def __init__(self, run_folder: Path, run_name: str, recipe: dict[str, Any]) -> None:
        try:
            from torch.utils.tensorboard import SummaryWriter
        except ImportError:
            raise MissingExtraError("tensorboard", "tensorboard", "the logger 'tensorboard'") from None
        self._writer = SummaryWriter(str(run_folder / "tensorboard"))
        settings = "\n".join(f"{key}: {value}" for key, value in dotted(recipe).items())
        self._writer.add_text("recipe", f"```\n{settings}\n```", global_step=0)

    def log(self, event: Mapping[str, Any]) -> None:
        self._writer.add_scalar(_tag(event), event["value"], global_step=event["round"] or 0)

    def close(self) -> None:
        self._writer.close()


@loggers.register("mlflow")
class MLflow:
    """A run in the experiment "fedloom" of $MLFLOW_TRACKING_URI, or of `<run folder>/mlruns/mlflow.db` where that is not set."""

    def __init__(self, run_folder: Path, run_name: str, recipe: dict[str, Any]) -> None:
        try:
            from mlflow.tracking import MlflowClient
        except ImportError:
            raise MissingExtraError("mlflow", "mlflow", "the logger 'mlflow'") from None
        place = os.environ.get("MLFLOW_TRACKING_URI")
        if not place:
            # MLflow 3 refuses a plain folder of files, which was the default of earlier versions.
            (run_folder / "mlruns").mkdir(parents=True, exist_ok=True)
            place = f"sqlite:///{(run_folder / 'mlruns' / 'mlflow.db').resolve()}"
        self._client = MlflowClient(tracking_uri=place)
        experiment = self._client.get_experiment_by_name("fedloom")
        experiment_id = experiment.experiment_id if experiment else self._client.create_experiment("fedloom")
        self._run = self._client.create_run(experiment_id, run_name=run_name).info.run_id
        for key, value in dotted(recipe).items():
            # MLflow refuses longer values.
            self._client.log_param(self._run, key, str(value)[:500])

    def log(self, event: Mapping[str, Any]) -> None:
        # MLflow refuses other characters in names.
        name = re.sub(r"[^\w\-. /]", "_", _tag(event))
        self._client.log_metric(self._run, name, event["value"], step=event["round"] or 0)

    def close(self) -> None:
        self._client.set_terminated(self._run)


@loggers.register("wandb")
class WeightsAndBiases:
    """A run in the project "fedloom" (or $WANDB_PROJECT). $WANDB_MODE decides whether it goes online, stays offline or is off."""

    def __init__(self, run_folder: Path, run_name: str, recipe: dict[str, Any]) -> None:
        try:
            import wandb
        except ImportError:
            raise MissingExtraError("wandb", "wandb", "the logger 'wandb'") from None
        project = os.environ.get("WANDB_PROJECT") or "fedloom"
        self._run = wandb.init(project=project, name=run_name, dir=str(run_folder), config=recipe)
        # The library's own step may only rise, but baselines are recorded for round 0 after later rounds.
        self._run.define_metric("*", step_metric="round")

    def log(self, event: Mapping[str, Any]) -> None:
        self._run.log({_tag(event): event["value"], "round": event["round"] or 0})

    def close(self) -> None:
        self._run.finish()


def _tag(event: Mapping[str, Any]) -> str:
    return event["name"] if event["client"] is None else f"{event['name']}/{event['client']}"
